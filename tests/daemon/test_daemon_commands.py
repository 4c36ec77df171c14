"""Commands of a daemon: however it ends, none of their processes is left."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from .model import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .model import Endpoint
    from .process import Daemon
    from .trace import Trace


def hang_up(daemon: Daemon, client: Client, thread: str) -> None:
    client.wire.close()


def terminate(daemon: Daemon, client: Client, thread: str) -> None:
    daemon.signal(signal.SIGTERM)


def kill(daemon: Daemon, client: Client, thread: str) -> None:
    daemon.signal(signal.SIGKILL)


def leave(daemon: Daemon, client: Client, thread: str) -> None:
    client.call("turn/interrupt", threadId=thread, turnId=client.wait_for("turn/started", thread)["turn"]["id"])
    client.call("thread/unsubscribe", threadId=thread)


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
    assert client.wait_for("turn/completed", thread)["turn"]["status"] == "completed"
