"""Threads with every kind of process. Shortly after the threads have ended, however they ended, no process is left.

Processes are found by a variable that their environments share, so nothing escapes by detaching itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .model import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .client import Client
    from .model import Endpoint
    from .process import Daemon
    from .trace import Trace

THREADS = 8
"""A hundred threads, with about a thousand processes, pass too, but take half a minute."""
LIMIT = 1.0
"""Seconds from the request, the signal or the disconnect to the end of the last process."""
SERVER = Path(__file__).parents[1] / "actors" / "tools" / "mcp" / "tiny_server.py"
MARK = "SPINDLE_TEST_MARK"

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="looks into /proc and waits for processes")

Turns = dict[str, str]
"""The running turns by thread."""


def unsubscribe(daemon: Daemon, client: Client, turns: Turns) -> None:
    client.ask(*(("thread/unsubscribe", {"threadId": thread}) for thread in turns))


def interrupt(daemon: Daemon, client: Client, turns: Turns) -> None:
    client.ask(*(("turn/interrupt", {"threadId": thread, "turnId": turn}) for thread, turn in turns.items()))
    unsubscribe(daemon, client, turns)


def hang_up(daemon: Daemon, client: Client, turns: Turns) -> None:
    client.wire.close()


def terminate(daemon: Daemon, client: Client, turns: Turns) -> None:
    daemon.signal(signal.SIGTERM)


def insist(daemon: Daemon, client: Client, turns: Turns) -> None:
    """On a socket, running turns may end by themselves after the first signal."""
    daemon.signal(signal.SIGTERM)
    daemon.logged("waiting for running turns")
    daemon.signal(signal.SIGTERM)


def kill(daemon: Daemon, client: Client, turns: Turns) -> None:
    daemon.signal(signal.SIGKILL)


class Children:
    """The processes with `mark` in their environment, except the daemon."""

    def __init__(self, daemon: Daemon, mark: str) -> None:
        self._daemon, self._mark = daemon.process.pid, f"{MARK}={mark}\0".encode()
        self._held: dict[int, int] = {}

    def now(self) -> dict[int, str]:
        """Their command lines."""
        found: dict[int, str] = {}
        for place in Path("/proc").iterdir():
            if not place.name.isdecimal() or int(place.name) == self._daemon:
                continue
            try:
                if self._mark in (place / "environ").read_bytes() + b"\0":
                    found[int(place.name)] = (place / "cmdline").read_text().replace("\0", " ")
            except OSError:
                pass  # the process has just exited
        return found

    def hold(self) -> None:
        """Hold a descriptor of each present process."""
        self._held = {pid: os.pidfd_open(pid) for pid in self.now()}

    def wait(self, until: float) -> set[int]:
        """Wait until the held processes have exited; returns those that have not within the time."""
        poll, left = select.poll(), {fd: pid for pid, fd in self._held.items()}
        for fd in left:
            poll.register(fd, select.POLLIN)
        while left and (seconds := until - time.monotonic()) > 0:
            for fd, _ in poll.poll(seconds * 1000):
                poll.unregister(fd)
                del left[fd]
        return set(left.values())

    def close(self) -> None:
        for fd in self._held.values():
            os.close(fd)


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Daemon], Children]]:
    made: list[Children] = []

    def make(daemon: Daemon) -> Children:
        made.append(Children(daemon, str(tmp_path)))
        return made[-1]

    monkeypatch.setenv(MARK, str(tmp_path))
    yield make
    for one in made:
        one.close()


def run_all(client: Client, endpoint: Endpoint, trace: Trace) -> Turns:
    """Start the threads; returns when the terminal and the command of each thread run."""

    def script(text: str) -> str:
        return f"exec 3>{trace.path}; (setsid sleep 1000 &) ; sleep 1000 & echo {text} >&3; wait"

    turns: Turns = {}
    for number in range(THREADS):
        answers = [
            calls(("exec_command", {"cmd": script("terminal"), "login": False, "yield_time_ms": 250})),
            calls(("shell", {"command": ["sh", "-c", script("command")], "timeout_ms": 1_000_000})),
        ]
        endpoint.scripts[f"run {number}"] = lambda answers=answers: answers.pop(0)  # type: ignore[misc]
        thread = client.start_thread(sandbox="danger-full-access", approvalPolicy="never")["id"]
        turns[thread] = client.start_turn(thread, f"run {number}")
    trace.until(b"terminal\n", THREADS)
    trace.until(b"command\n", THREADS)
    return turns


@pytest.mark.parametrize(
    ("listen", "end", "settings"),
    [
        ("stdio://", unsubscribe, 'on_unsubscribe = "interrupt"'),
        ("stdio://", interrupt, ""),
        ("stdio://", hang_up, ""),
        ("unix://", hang_up, 'on_unsubscribe = "interrupt"\nthread_unload_delay_secs = 0'),
        ("stdio://", terminate, ""),
        ("unix://", insist, ""),
        ("stdio://", kill, ""),
    ],
)
def test_no_process_is_left(
    home: Path,
    launch: Callable[..., Daemon],
    endpoint: Endpoint,
    trace: Trace,
    children: Callable[[Daemon], Children],
    listen: str,
    end: Callable[[Daemon, Client, Turns], None],
    settings: str,
) -> None:
    config = home / "config.toml"
    server = f'command = "{sys.executable}"\nargs = ["-S", "-E", "{SERVER}"]\nenv_vars = ["{MARK}"]\n'
    config.write_text(f"{settings}\n{config.read_text()}\n[mcp_servers.tiny]\n{server}")
    daemon = launch(f"unix://{home}/s" if listen == "unix://" else listen)
    ours = children(daemon)
    client = daemon.client(experimentalApi=True)
    turns = run_all(client, endpoint, trace)
    most = 7 * THREADS  # a shell with two children for each command, and their keepers
    names = next(names for names in map(list, iter(lambda: ours.now().values(), None)) if len(names) >= most)
    assert sum("tiny_server" in name for name in names) == THREADS
    ours.hold()
    asked = time.monotonic()
    end(daemon, client, turns)
    left = ours.wait(asked + LIMIT)
    assert not left, f"goes on: {ours.now()}"
    assert ours.now() == {}
