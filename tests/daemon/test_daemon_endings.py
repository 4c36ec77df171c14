"""The end of a daemon, and what is on disk afterwards."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .model import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .model import Endpoint
    from .process import Daemon
    from .trace import Trace


def last_mark(path: str) -> tuple[str, str]:
    """The last event and the turn id of the rollout's last turn."""
    lines = [json.loads(line) for line in Path(path).read_bytes().splitlines()]
    marks = [line["payload"] for line in lines if line["type"] == "event_msg"]
    last: dict[str, Any] = [mark for mark in marks if mark["type"].startswith(("task_", "turn_"))][-1]
    return last["type"], last["turn_id"]


def hang_up(daemon: Daemon, client: Client) -> None:
    client.wire.close()


def terminate(daemon: Daemon, client: Client) -> None:
    daemon.signal(signal.SIGTERM)


def interrupt(daemon: Daemon, client: Client) -> None:
    daemon.signal(signal.SIGINT)


def lose_terminal(daemon: Daemon, client: Client) -> None:
    daemon.signal(signal.SIGHUP)


@pytest.mark.parametrize("end", [hang_up, terminate, interrupt, lose_terminal])
def test_on_stdio_the_end_records_the_running_turn_as_interrupted(
    launch: Callable[..., Daemon], end: Callable[[Daemon, Client], None]
) -> None:
    daemon = launch()
    client = daemon.client()
    thread = client.start_thread()
    turn = client.hold_turn(thread["id"])
    end(daemon, client)
    assert daemon.wait() == 0
    assert last_mark(thread["path"]) == ("turn_aborted", turn)
    # the next process can continue the thread
    client = launch().client()
    (shown,) = client.call("thread/resume", threadId=thread["id"])["thread"]["turns"]
    assert (shown["id"], shown["status"]) == (turn, "interrupted")
    assert client.run_turn(thread["id"], "still there?")["status"] == "completed"


@pytest.mark.parametrize("end", [hang_up, terminate, interrupt, lose_terminal])
def test_on_stdio_an_idle_daemon_ends_in_silence(
    launch: Callable[..., Daemon], end: Callable[[Daemon, Client], None]
) -> None:
    daemon = launch(log="warning")
    client = daemon.client()
    client.start_thread()
    end(daemon, client)
    assert daemon.wait() == 0
    daemon.log.wait_end()
    assert daemon.log.entries == []


def test_requests_before_the_end_of_input_are_answered(daemon: Daemon) -> None:
    client = daemon.client()
    ids = client.ask(*[("thread/loaded/list", {})] * 50)
    client.wire.close()
    for id in ids:
        assert client.answer(id) == {"data": [], "nextCursor": None}
    assert daemon.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_on_a_socket_the_first_signal_waits_for_running_turns(
    unix_daemon: Daemon, endpoint: Endpoint, number: signal.Signals
) -> None:
    client = unix_daemon.client()
    thread = client.start_thread()
    turn = client.hold_turn(thread["id"])
    unix_daemon.signal(number)
    unix_daemon.logged("waiting for running turns")
    assert client.call("thread/loaded/list")["data"] == [thread["id"]]
    for method, params in WORK.items():
        refused = client.refusal(method, threadId=thread["id"], **params)
        assert (refused.code, refused.message) == (-32600, "the server is shutting down")
    unix_daemon.refuses_connections()
    endpoint.release()
    assert client.wait_for("turn/completed", thread["id"], turn)["turn"]["status"] == "completed"
    assert unix_daemon.wait() == 0
    assert last_mark(thread["path"]) == ("task_complete", turn)
    assert not Path(unix_daemon.address).exists()


WORK: dict[str, dict[str, Any]] = {
    "thread/start": {},
    "thread/fork": {},
    "thread/compact/start": {},
    "thread/shellCommand": {"command": "true"},
    "turn/start": {"input": [{"type": "text", "text": "more"}]},
    "review/start": {"target": {"type": "uncommittedChanges"}},
}


def test_a_daemon_that_gets_a_signal_while_busy_ends_although_its_clients_go_on(
    unix_daemon: Daemon, endpoint: Endpoint
) -> None:
    client = unix_daemon.client()
    thread, other = client.start_thread(), client.start_thread()
    turn = client.hold_turn(thread["id"])
    unix_daemon.signal(signal.SIGTERM)
    unix_daemon.logged("waiting for running turns")
    client.ask(*[("turn/start", {"threadId": other["id"], "input": [{"type": "text", "text": "hold on"}]})] * 20)
    endpoint.release()
    assert unix_daemon.wait() == 0
    assert last_mark(thread["path"]) == ("task_complete", turn)
    assert not Path(other["path"]).exists()


PAIRS = [
    (signal.SIGTERM, signal.SIGINT, 0),
    (signal.SIGTERM, signal.SIGTERM, 0.001),
    (signal.SIGINT, signal.SIGINT, 0.01),
    (signal.SIGHUP, signal.SIGTERM, 0.03),
]


@pytest.mark.parametrize("listen", ["stdio://", "unix://{}/s", "ws://127.0.0.1:0"])
@pytest.mark.parametrize(("first", "second", "gap"), PAIRS)
def test_two_signals_leave_no_turn_unrecorded_however_close_they_are(
    launch: Callable[..., Daemon],
    endpoint: Endpoint,
    trace: Trace,
    tmp_path: Path,
    listen: str,
    first: signal.Signals,
    second: signal.Signals,
    gap: float,
) -> None:
    command = {"cmd": f"exec 3>{trace.path}; echo up >&3; exec sleep 1000", "login": False, "yield_time_ms": 30_000}
    endpoint.scripts["run it"] = lambda: calls(("exec_command", command))
    daemon = launch(listen.format(tmp_path))
    client = daemon.client()
    thread = client.start_thread(sandbox="danger-full-access")
    turn = client.start_turn(thread["id"], "run it")
    trace.until(b"up")
    daemon.signal(first)
    time.sleep(gap)
    daemon.signal(second)
    if daemon.listen != "stdio://":
        # the system merges equal signals that wait to be handled: make sure that a second one was sent
        daemon.logged("waiting for running turns")
        daemon.signal(first)
    assert daemon.wait() == 0
    assert last_mark(thread["path"]) == ("turn_aborted", turn)
    outputs = [line for line in Path(thread["path"]).read_bytes().splitlines() if b"function_call_output" in line]
    assert len(outputs) == 1
    trace.end()
    daemon.log.wait_end()
    assert not [line for line in daemon.log.entries if "Traceback" in line]


@pytest.mark.parametrize("listen", ["stdio://", "unix://{}/s"])
def test_signals_are_still_caught_while_the_process_exits(
    launch: Callable[..., Daemon], tmp_path: Path, listen: str
) -> None:
    daemon = launch(listen.format(tmp_path))
    client = daemon.client()
    thread = client.start_thread()
    turn = client.hold_turn(thread["id"])
    while daemon.process.poll() is None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            daemon.signal(number)
        time.sleep(0.0005)
    assert daemon.wait() == 0
    assert last_mark(thread["path"]) == ("turn_aborted", turn)


def test_on_a_socket_the_second_signal_waits_for_nothing(unix_daemon: Daemon) -> None:
    client = unix_daemon.client()
    thread = client.start_thread()
    turn = client.hold_turn(thread["id"])
    unix_daemon.signal(signal.SIGTERM)
    unix_daemon.logged("waiting for running turns")
    unix_daemon.signal(signal.SIGTERM)
    assert unix_daemon.wait() == 0
    assert last_mark(thread["path"]) == ("turn_aborted", turn)


def test_a_turn_on_a_socket_outlives_its_client(unix_daemon: Daemon, endpoint: Endpoint) -> None:
    watcher, client = unix_daemon.client(), unix_daemon.client()
    thread = client.start_thread()
    turn = client.hold_turn(thread["id"])
    client.wire.close()
    client.messages.wait_end()
    endpoint.release()
    idle = {"threadId": thread["id"], "status": {"type": "idle"}}
    watcher.messages.find(lambda message: message.get("params") == idle)
    assert last_mark(thread["path"]) == ("task_complete", turn)
