"""Keys that a command prints: `[model_providers.<id>.auth]` of config.toml."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Final

import trio

from spindle.actors.tools.commands.arguments import os_failure
from spindle.actors.tools.commands.process import Command, Process, Warden
from spindle.rpc.model.interface import Provider
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.provider import AuthCommand
from spindle.rpc.protocol.values import one_line

log = logging.getLogger("spindle")

_LONGEST: Final = 64 * 1024
"""Bytes that are read of each output; a longer one is an error."""
_SHOWN: Final = 200
"""Characters of standard error that an error quotes."""


class CommandKey:
    """The key of a provider, cached until `refresh_interval_ms` is over, or a server refuses it.

    The command runs with the rights and the environment of the server, in `cwd` unless it names another folder. It is
    killed with all that it has started when it does not end in time, or when the caller is cancelled.
    """

    def __init__(self, provider: Provider, auth: AuthCommand, warden: Warden, cwd: str) -> None:
        self._name = provider.name
        self._auth = auth
        self._warden = warden
        self._cwd = os.path.join(cwd, os.path.expanduser(auth.cwd or ""))
        self._lock = trio.Lock()  # one run at a time: requests that come meanwhile get its key
        self._key: str | None = None
        self._at = 0.0

    async def __call__(self) -> str:
        """The key for a request. Raises ModelError."""
        async with self._lock:
            every = self._auth.refresh_interval_ms / 1000
            if self._key is None or (every and trio.current_time() - self._at >= every):
                self._key, self._at = await self._run(os.environ), trio.current_time()
            return self._key

    async def renew(self, refused: str) -> bool:
        """A server has refused this key: the next request gets another one."""
        async with self._lock:
            if self._key == refused:
                self._key = None
            return True

    async def _run(self, environ: Mapping[str, str]) -> str:
        auth = self._auth
        log.info("running the command for the key of the provider %s", self._name)
        command = Command(
            argv=[auth.command, *auth.args],
            cwd=self._cwd,
            env=environ,
            split=True,
            may_connect=True,
        )
        try:
            with trio.fail_after(auth.timeout_ms / 1000):
                async with self._warden.held(), await self._warden.start(command) as process:
                    status, out, err = await _outputs(process)
        except OSError as error:
            raise self._failed(os_failure(error)) from None
        except trio.TooSlowError:
            raise self._failed(f"it did not end within {auth.timeout_ms} ms") from None
        if status != 0:
            said = one_line(err.decode("utf-8", "replace").strip(), _SHOWN)
            raise self._failed(f"exit status {status}{f': {said}' if said else ''}")
        try:
            key = out.decode("ascii").strip()
        except UnicodeDecodeError:
            key = ""
        if not key or len(out) > _LONGEST or not key.isprintable():
            raise self._failed("its output is not one line with a key")
        return key

    def _failed(self, why: str) -> ModelError:
        return ModelError(f"the command for the key of the provider {self._name} has failed: {why}", "unauthorized")


async def _outputs(process: Process) -> tuple[int, bytes, bytes]:
    out, err = bytearray(), bytearray()

    async def read_error() -> None:
        while block := await process.read_error():
            err.extend(block[: _LONGEST - len(err)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_error)
        while block := await process.read():
            out.extend(block[: _LONGEST + 1 - len(out)])
        status = await process.wait()
    return status, bytes(out), bytes(err)
