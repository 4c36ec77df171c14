"""Relays in processes of their own, and the shared folder of their home."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.driving import DEADLINE

from .client import Client, Pipes
from .feed import Feed
from .process import interpreter

Relays = Callable[..., "Relay"]


class Relay:
    """A relay and its client."""

    def __init__(self, home: Path, cwd: Path, options: tuple[str, ...], environment: dict[str, str], **popen: Any) -> None:
        cwd.mkdir(exist_ok=True)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [*interpreter(), "spindle", "app-server", "--shared", *options],
            env={**os.environ, "CODEX_HOME": str(home), "SPINDLE_LOG": "info", **environment},
            cwd=cwd,
            start_new_session=True,
            **{**pipes, **popen},
        )
        self._client: Client | None = None
        if self.process.stdin is not None and self.process.stdout is not None:
            self._client = Client(Pipes(self.process.stdin, self.process.stdout))
        self.errors: Feed[str] = Feed()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.add(line.decode())
        self.errors.end()

    @property
    def client(self) -> Client:
        """The client on pipes."""
        assert self._client is not None
        return self._client

    @contextlib.contextmanager
    def on(self, wire: Pipes) -> Iterator[Client]:
        """A client on another wire, which ends with the relay."""
        client = Client(wire)
        try:
            yield client
        finally:
            self.process.kill()
            client.join()

    def ended(self) -> tuple[int, str]:
        """Wait for the exit code and the standard error."""
        code = self.process.wait(DEADLINE)
        self.errors.wait_end()
        return code, "".join(self.errors.entries)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        if self._client is not None:
            self._client.join()
        self._reading.join(DEADLINE)
        for pipe in filter(None, (self.process.stdin, self.process.stdout, self.process.stderr)):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class Shared:
    """The shared folder of a home, as other processes see it."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "spindle" / "shared"

    @property
    def pid(self) -> int:
        """The process of the daemon that was started last."""
        return int((self.folder / "lock").read_text().partition(" ")[0])

    @property
    def log(self) -> str:
        """What daemons have logged."""
        return (self.folder / "log").read_text()

    def wait_for_end(self) -> None:
        """Wait until no daemon has the lock, not even one that is being started."""
        if (self.folder / "lock").exists():
            with open(self.folder / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """End the daemon that a test has left."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid, signal.SIGKILL)
        self.wait_for_end()
