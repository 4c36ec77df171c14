"""The process of a server: started by the warden, and ended with all that it started, in bounded time."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

import trio

from spindle.actors.tools.commands.process import Command, Process, Warden
from spindle.rpc.mcp.mcp_errors import StartupFailed
from spindle.rpc.mcp.server_log import ServerLog
from spindle.rpc.mcp.stdio import StdioTransport
from spindle.storage.config import McpServerConfig

GRACE_SECONDS: Final = 2.0
"""Seconds for a server to end after its input is closed, and again after SIGTERM."""
# the variables that every server inherits; not tokens and keys
_PASSED_ON: Final = (
    "HOME", "LOGNAME", "PATH", "SHELL", "USER", "__CF_USER_TEXT_ENCODING", "LANG", "LC_ALL", "TERM", "TMPDIR", "TZ",
)  # fmt: skip
_ERROR_BYTES: Final = 8 * 1024
_LINE_BYTES: Final = 500


@asynccontextmanager
async def open_stdio(
    config: McpServerConfig, home: str, environ: Mapping[str, str], warden: Warden
) -> AsyncGenerator[StdioTransport]:
    """Start the server's process in `home`, or in the `cwd` of its configuration (relative to `home`); end it on exit.

    Raises StartupFailed if it cannot be started.
    """
    argv = [cast(str, config.command), *config.args]
    env = environment(environ, config.env_vars, config.env)
    async with warden.held():
        try:
            folder = await trio.to_thread.run_sync(_folder, home, config.cwd)
            process = await start_child(warden, argv, folder, env)
        except OSError as error:
            raise StartupFailed(f"{error.strerror or error} (os error {error.errno})") from error
        except ValueError as error:  # a null byte in an argument
            raise StartupFailed(str(error)) from error
        try:
            assert process.input is not None
            assert process.output is not None
            assert process.error is not None
            transport = StdioTransport(config.name, process.output, process.input, process.pid)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.run)
                nursery.start_soon(_log_errors, config.name, process.error)
                yield transport
                nursery.cancel_scope.cancel()
        finally:
            await end_child(process)


def _folder(home: str, own: str | None) -> str:
    if own is not None:
        return os.path.join(home, own)
    return home if os.path.isdir(home) else "/"


async def _log_errors(name: str, stream: trio.abc.ReceiveStream) -> None:
    """Log the server's standard error at level DEBUG. Long lines are cut."""
    server_log = ServerLog(name)
    begun = b""
    try:
        while chunk := await stream.receive_some(_ERROR_BYTES):
            *lines, last = (begun + chunk).split(b"\n")
            server_log.log_lines(lines)
            begun = bytes(last[:_LINE_BYTES])
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


def environment(ours: Mapping[str, str], passed: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: a few variables of `ours`, those named in `passed`, and its `own`."""
    return {name: ours[name] for name in (*_PASSED_ON, *passed) if name in ours} | dict(own)


async def start_child(warden: Warden, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> Process:
    """Start a server with pipes for its three streams. Raises OSError, and ValueError for a null byte."""
    if any("\0" in word for word in (*argv, cwd, *env, *env.values())):
        raise ValueError("embedded null byte")
    return await warden.start(Command(argv=argv, cwd=cwd, env=env, stdin=True, split=True, may_connect=True))


async def end_child(process: Process) -> None:
    """End a server and all that it started: close its input, then SIGTERM, then SIGKILL, with `GRACE_SECONDS` between.

    Shielded and bounded. Its output is read and discarded, because a server that blocks in a write does not notice that its
    input is closed.
    """
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for stream in (process.output, process.error):
                if stream is not None:
                    nursery.start_soon(_drain, stream)
            await process.close_input()
            if not await _ended(process):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGTERM)
                await _ended(process)
            nursery.cancel_scope.cancel()
        await process.aclose()


async def _ended(process: Process) -> bool:
    with trio.move_on_after(GRACE_SECONDS):
        await process.wait()
    return process.status is not None


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    try:
        while await stream.receive_some():
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        pass
