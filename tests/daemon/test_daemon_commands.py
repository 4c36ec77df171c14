"""Commands of a daemon: however it ends, nothing that they started is left."""

from __future__ import annotations

import json
import os
import select
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.daemon.conftest import Client, Daemon, Endpoint

DEADLINE = 20.0
"""Seconds after which a test gives up."""


def hang_up(daemon: Daemon, client: Client, thread: str) -> None:
    client.wire.close()


def terminate(daemon: Daemon, client: Client, thread: str) -> None:
    daemon.signal(signal.SIGTERM)


def kill(daemon: Daemon, client: Client, thread: str) -> None:
    daemon.signal(signal.SIGKILL)


def leave(daemon: Daemon, client: Client, thread: str) -> None:
    client.call("turn/interrupt", threadId=thread, turnId=client.hear("turn/started", thread)["turn"]["id"])
    client.call("thread/unsubscribe", threadId=thread)


class Trace:
    """A FIFO that every process of the commands holds open: it ends when the last of them has ended."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = b""

    def until(self, text: bytes) -> None:
        """Wait until the commands have written this."""
        while text not in self._text:
            self._text += self._read()

    def end(self) -> None:
        """Wait until nobody has it open."""
        while self._read():
            pass

    def _read(self) -> bytes:
        readable, _, _ = select.select([self._fd], [], [], DEADLINE)
        assert readable, "the commands go on"
        return os.read(self._fd, 4096)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Trace]:
    made = Trace(tmp_path / "trace")
    yield made
    made.close()


def calls(*calls: tuple[str, dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """An answer that calls these tools."""
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    items = [
        {"type": "function_call", "call_id": f"call-{number}", "name": name, "arguments": json.dumps(arguments)}
        for number, (name, arguments) in enumerate(calls)
    ]
    yield [
        {"type": "response.created", "response": {"id": "resp"}},
        *({"type": "response.output_item.done", "item": item} for item in items),
        {"type": "response.completed", "response": {"id": "resp", "usage": usage}},
    ]


@pytest.mark.parametrize("end", [hang_up, terminate, kill, leave])
def test_nothing_is_left_of_a_session_and_a_running_command(
    launch: Callable[..., Daemon], endpoint: Endpoint, trace: Trace, end: Callable[[Daemon, Client, str], None]
) -> None:
    tree = f"exec 3>{trace.path}; (setsid sleep 1000 &) ; sleep 1000 & echo %s >&3; wait"
    answers = [
        calls(("exec_command", {"cmd": tree % "session", "login": False, "yield_time_ms": 250})),
        calls(("shell", {"command": ["sh", "-c", tree % "command"], "timeout_ms": 1_000_000})),
    ]
    endpoint.scripts["run"] = lambda: answers.pop(0)
    daemon = launch()
    client = daemon.client(experimentalApi=True)
    thread = client.start_thread(sandbox="danger-full-access", approvalPolicy="never")["id"]
    client.start_turn(thread, "run")
    trace.until(b"session\n")
    trace.until(b"command\n")
    end(daemon, client, thread)
    trace.end()


def test_background_terminals_are_listed_and_ended(
    launch: Callable[..., Daemon], endpoint: Endpoint, trace: Trace
) -> None:
    script = {"cmd": f"exec 3>{trace.path}; echo up >&3; sleep 1000", "login": False, "yield_time_ms": 250}
    answers = [calls(("exec_command", script)), calls()]
    endpoint.scripts["run"] = lambda: answers.pop(0)
    client = launch().client(experimentalApi=True)
    thread = client.start_thread(sandbox="danger-full-access", approvalPolicy="never")["id"]
    assert client.run_turn(thread, "run")["status"] == "completed"
    (terminal,) = client.call("thread/backgroundTerminals/list", threadId=thread)["data"]
    assert (terminal["itemId"], terminal["cpuPercent"]) == ("call-0", None)
    given = {"threadId": thread, "processId": terminal["processId"]}
    assert client.call("thread/backgroundTerminals/terminate", **given) == {"terminated": True}
    trace.end()
    assert client.call("thread/backgroundTerminals/terminate", **given) == {"terminated": False}
    assert client.call("thread/backgroundTerminals/list", threadId=thread) == {"data": [], "nextCursor": None}
    assert client.call("thread/backgroundTerminals/clean", threadId=thread) == {}
    refusal = client.refusal("thread/backgroundTerminals/list", threadId=thread, cursor="x")
    assert refusal.message == "invalid cursor: x"


def test_a_command_of_the_users_own_needs_words(launch: Callable[..., Daemon]) -> None:
    client = launch().client()
    thread = client.start_thread()["id"]
    refusal = client.refusal("thread/shellCommand", threadId=thread, command="  ")
    assert refusal.message == "command must not be empty"
    assert client.call("thread/shellCommand", threadId=thread, command="echo hi") == {}
    assert client.hear("turn/completed", thread)["turn"]["status"] == "completed"
