"""A message that its client sends again, under its own id, after a lost connection or a lost daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .client import Client
    from .model import Endpoint
    from .process import Daemon


def say(client: Client, thread: str, text: str, client_id: str) -> Any:
    """Send a message; returns the turn in the answer."""
    content = [{"type": "text", "text": text}]
    return client.call("turn/start", threadId=thread, input=content, clientUserMessageId=client_id)["turn"]


def test_a_message_sent_twice_over_a_lost_connection_is_one_turn(unix_daemon: Daemon, endpoint: Endpoint) -> None:
    first = unix_daemon.client()
    thread = first.start_thread()["id"]
    since = first.now
    turn = say(first, thread, "hold on", "message-1")["id"]
    first.wait_for("item/agentMessage/delta", thread, turn, since)
    first.wire.close()

    second = unix_daemon.client()
    shown = second.call("thread/resume", threadId=thread)["thread"]["turns"]
    assert shown[0]["items"][0]["clientId"] == "message-1"
    assert say(second, thread, "hold on", "message-1") == {
        "id": turn,
        "items": [],
        "itemsView": "notLoaded",
        "rootTurnId": turn,
        "status": "inProgress",
        "error": None,
        "startedAt": None,
        "completedAt": None,
        "durationMs": None,
    }
    endpoint.release()
    second.wait_for("turn/completed", thread, turn)
    again = say(second, thread, "hold on", "message-1")
    assert (again["id"], again["status"]) == (turn, "completed")
    assert len(second.call("thread/read", threadId=thread, includeTurns=True)["thread"]["turns"]) == 1
    assert len(endpoint.requests.entries) == 1


@pytest.mark.parametrize("killed", [False, True])
def test_a_message_sent_again_to_the_next_daemon_is_the_old_turn(
    launch: Callable[..., Daemon], endpoint: Endpoint, tmp_path: Path, killed: bool
) -> None:
    daemon = launch(f"unix://{tmp_path}/s")
    client = daemon.client()
    thread = client.start_thread()["id"]
    since = client.now
    turn = say(client, thread, "hold on" if killed else "hi", "message-1")["id"]
    client.wait_for("item/agentMessage/delta" if killed else "turn/completed", thread, turn, since)
    daemon.kill()

    client = launch(f"unix://{tmp_path}/s2").client()
    client.call("thread/resume", threadId=thread)
    again = say(client, thread, "hi", "message-1")
    assert (again["id"], again["status"]) == (turn, "interrupted" if killed else "completed")
    assert len(endpoint.requests.entries) == 1
    since = client.now
    other = say(client, thread, "hi", "message-2")["id"]
    assert other != turn
    client.wait_for("turn/completed", thread, other, since)
    assert len(endpoint.requests.entries) == 2
