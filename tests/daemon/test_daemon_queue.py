"""The queue of a thread across kill -9: what was answered as queued runs once, whenever the daemon is killed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from .client import Client
from .model import Endpoint, last_user_text
from .process import Daemon

Launch = Callable[..., Daemon]


def queue(client: Client, thread: str, text: str) -> str:
    given = [{"type": "text", "text": text}]
    added = client.call("thread/queue/add", threadId=thread, input=given, clientUserMessageId=text)
    id: str = added["queuedSubmission"]["id"]
    return id


def asked(endpoint: Endpoint) -> list[str]:
    """What the user said last, in each request to the model."""
    return [last_user_text(request) for request in endpoint.requests.entries]


def test_what_is_queued_behind_a_running_turn_runs_once_after_kill_9(
    launch: Launch, endpoint: Endpoint, home: Path
) -> None:
    daemon = launch()
    client = daemon.client(experimentalApi=True)
    thread = client.start_thread()["id"]
    client.hold_turn(thread)
    ids = [queue(client, thread, text) for text in ("one", "hold two", "three")]
    daemon.kill()

    # as if it had been killed when the entry was out of the queue, and not in the turn's record yet
    with sqlite3.connect(home / "spindle" / "state.sqlite") as state:
        state.execute("UPDATE queued SET turn_id = '01a22f29-0000-7000-8000-000000000000' WHERE id = ?", (ids[0],))
    state.close()

    daemon = launch()
    client = daemon.client(experimentalApi=True)
    listed = client.call("thread/queue/list", threadId=thread)["data"]
    assert [each["clientUserMessageId"] for each in listed] == ["hold two", "three"]
    client.call("thread/resume", threadId=thread)
    endpoint.requests.find(lambda request: last_user_text(request) == "hold two")
    daemon.kill()  # while the turn of the second one runs

    daemon = launch()
    client = daemon.client(experimentalApi=True)
    client.call("thread/resume", threadId=thread)
    client.wait_for("turn/completed", thread)
    assert client.call("thread/queue/list", threadId=thread)["data"] == []
    assert asked(endpoint) == ["hold on", "one", "hold two", "three"]
