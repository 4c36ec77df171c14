"""`spindle app-server` as a process, with its log, its connections and its clients."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import coverage
from benchmarks.driving import DEADLINE
from benchmarks.driving.websocket import WebSocket

from .client import Client, Pipes
from .feed import Feed

PATIENCE = 5.0
"""Seconds in which a measured daemon may exit and write down what it covered."""


def interpreter() -> list[str]:
    """The command that runs a module. It measures the coverage if this process is measured too."""
    measured = coverage.Coverage.current()
    if measured is None:
        return [sys.executable, "-m"]
    own = f"--data-file={os.path.abspath(measured.config.data_file)}"
    return [sys.executable, "-m", "coverage", "run", f"--rcfile={measured.config.config_file}", own, "-p", "-m"]


class Daemon:
    """`spindle app-server` in a process group of its own."""

    def __init__(
        self, home: Path, listen: str, prefix: Sequence[str] = (), options: Sequence[str] = (), log: str = "info"
    ) -> None:
        """`prefix`: a command that runs the daemon's command. `options`: more of its own. `log`: SPINDLE_LOG."""
        self.home, self.listen = home, listen
        self.clients: list[Client] = []
        self._sockets: list[WebSocket] = []
        self.process = subprocess.Popen(
            [*prefix, *interpreter(), "spindle", "app-server", "--listen", listen, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "CODEX_HOME": str(home), "SPINDLE_LOG": log},
            cwd=home,
            start_new_session=True,
        )
        self.log: Feed[str] = Feed()
        self._logging = threading.Thread(target=self._read_log)
        self._logging.start()
        if listen.startswith("ws://"):
            line = self.logged("listening on: ")
            self.address: Any = ("127.0.0.1", int(line.rpartition(":")[2]))
        elif listen.startswith("unix://"):
            self.address = self.logged("listening on: ").partition("unix://")[2]

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.add(line.decode().rstrip("\n"))
        self.log.end()

    def logged(self, text: str) -> str:
        """Wait for a line of the log that contains `text`; returns it."""
        return self.log.find(lambda line: text in line)

    def client(self, **capabilities: Any) -> Client:
        """An initialized client: the one on stdio, or a new connection."""
        client = self.raw_client()
        client.initialize(**capabilities)
        return client

    def raw_client(self) -> Client:
        """A client that has sent nothing yet."""
        if self.listen == "stdio://":
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            client = Client(Pipes(self.process.stdin, self.process.stdout))
        else:
            client = Client(self.websocket())
        self.clients.append(client)
        return client

    def connect(self) -> socket.socket:
        """A connection to the daemon's socket, without a handshake."""
        connection = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        connection.settimeout(DEADLINE)
        connection.connect(self.address)
        return connection

    def refuses_connections(self) -> None:
        """Wait until the daemon accepts no connection. Raises TimeoutError."""
        limit = time.monotonic() + DEADLINE
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        while time.monotonic() < limit:
            with socket.socket(family) as connection:
                try:
                    connection.connect(self.address)
                except (ConnectionError, FileNotFoundError):
                    return
        raise TimeoutError("the daemon still accepts connections")

    def websocket(self, *headers: str) -> WebSocket:
        """A connection that has asked for a WebSocket."""
        wire = WebSocket(self.connect(), headers)
        self._sockets.append(wire)
        return wire

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the exit code."""
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        """Kill the daemon and its children (kill -9)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)

    def close(self) -> None:
        if coverage.Coverage.current() is not None:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        self.kill()
        for client in self.clients:
            client.join()
        for wire in self._sockets:
            wire.dispose()
        self._logging.join(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
