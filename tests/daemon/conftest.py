"""A daemon in a process of its own, clients on its wires, and a scripted model behind it.

Nothing here sleeps: a test waits for a message, a line of the log or the exit of a process. `DEADLINE` only turns a hang
into a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.driving import configure

from .client import Client
from .model import Endpoint
from .process import Daemon
from .sharing import Relay, Relays, Shared
from .trace import Trace


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """The model's side."""
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def home(endpoint: Endpoint, tmp_path: Path) -> Path:
    """A Codex home whose model is `endpoint`."""
    home = tmp_path / "home"
    home.mkdir()
    configure(home, endpoint.url)
    return home


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Trace]:
    made = Trace(tmp_path / "trace")
    yield made
    made.close()


@pytest.fixture
def launch(home: Path) -> Iterator[Callable[..., Daemon]]:
    """launch(listen="stdio://", prefix=(), options=(), log="info") -> a daemon on `home`, ended with the test at the latest."""
    daemons: list[Daemon] = []

    def launch(
        listen: str = "stdio://", prefix: Sequence[str] = (), options: Sequence[str] = (), log: str = "info"
    ) -> Daemon:
        daemons.append(Daemon(home, listen, prefix, options, log))
        return daemons[-1]

    yield launch
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def daemon(launch: Callable[..., Daemon]) -> Daemon:
    """A daemon on stdio."""
    return launch()


@pytest.fixture
def client(daemon: Daemon) -> Client:
    """The initialized client of `daemon`."""
    return daemon.client()


@pytest.fixture
def experimental(daemon: Daemon) -> Client:
    """The initialized client of `daemon`, with the experimental API."""
    return daemon.client(experimentalApi=True)


@pytest.fixture
def unix_daemon(launch: Callable[..., Daemon], tmp_path: Path) -> Daemon:
    """A daemon on a Unix socket."""
    return launch(f"unix://{tmp_path}/s")


@pytest.fixture
def ws_daemon(launch: Callable[..., Daemon]) -> Daemon:
    """A daemon on a WebSocket."""
    return launch("ws://127.0.0.1:0")


@pytest.fixture
def shared(home: Path) -> Iterator[Shared]:
    shared = Shared(home)
    yield shared
    shared.close()


@pytest.fixture
def relay(home: Path, tmp_path: Path, shared: Shared) -> Iterator[Relays]:
    """relay(*options, cwd="a", **environment) -> a relay that is started in a folder of the test."""
    relays: list[Relay] = []

    def start(*options: str, cwd: str = "a", popen: dict[str, Any] | None = None, **environment: str) -> Relay:
        relays.append(Relay(home, tmp_path / cwd, options, environment, **(popen or {})))
        return relays[-1]

    yield start
    for one in relays:
        one.close()
