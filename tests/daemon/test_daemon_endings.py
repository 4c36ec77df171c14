"""How a daemon ends, and what is on disk afterwards."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon.conftest import Client, Daemon, Endpoint


def last_mark(path: str) -> tuple[str, str]:
    """How the rollout's last turn ended and its id."""
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


@pytest.mark.parametrize("end", [hang_up, terminate, interrupt])
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
    # and the next process goes on with the thread
    client = launch().client()
    (shown,) = client.call("thread/resume", threadId=thread["id"])["thread"]["turns"]
    assert (shown["id"], shown["status"]) == (turn, "interrupted")
    assert client.run_turn(thread["id"], "still there?")["status"] == "completed"


@pytest.mark.parametrize("end", [hang_up, terminate, interrupt])
def test_on_stdio_an_idle_daemon_ends_in_silence(daemon: Daemon, end: Callable[[Daemon, Client], None]) -> None:
    client = daemon.client()
    client.start_thread()
    end(daemon, client)
    assert daemon.wait() == 0
    daemon.log.wait_end()
    assert daemon.log.entries == []


def test_what_was_asked_before_the_end_of_input_is_answered(daemon: Daemon) -> None:
    client = daemon.client()
    ids = client.ask(*[("thread/loaded/list", {})] * 50)
    client.wire.close()
    for id in ids:
        assert client.answer(id) == {"data": [], "nextCursor": None}
    assert daemon.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_on_a_socket_the_first_signal_waits_for_running_turns(
    unix_daemon: Daemon, endpoint: Endpoint, number: signal.Signals
) -> None:
    client = unix_daemon.client()
    thread = client.start_thread()
    turn = client.hold_turn(thread["id"])
    unix_daemon.signal(number)
    unix_daemon.logged("waiting for running turns")
    assert client.call("thread/loaded/list")["data"] == [thread["id"]]
    endpoint.release()
    assert client.hear("turn/completed", thread["id"], turn)["turn"]["status"] == "completed"
    assert unix_daemon.wait() == 0
    assert last_mark(thread["path"]) == ("task_complete", turn)
    assert not Path(unix_daemon.address).exists()


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
