"""kill -9 while turns are streamed: every completed turn is stored, and every thread can be resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .process import Daemon

THREADS, HELD, COMPLETED = 8, 3, 25


def run_until(client: Client, threads: list[str], count: int) -> dict[str, str]:
    """Keep a turn running in each thread until `count` have completed; returns the question of each turn."""
    asked: dict[str, str] = {}
    at = client.now

    def begin(thread: str) -> None:
        text = f"question {len(asked)} of {thread}"
        asked[client.start_turn(thread, text)] = text

    for thread in threads:
        begin(thread)
    for _ in range(count):
        message = client.messages.find(lambda message: message.get("method") == "turn/completed", at)
        at = client.messages.entries.index(message, at) + 1
        begin(message["params"]["threadId"])
    return asked


def completed(client: Client) -> set[str]:
    """The turns whose completion the client was notified of."""
    entries = client.messages.entries
    told = [message["params"]["turn"] for message in entries if message.get("method") == "turn/completed"]
    assert {turn["status"] for turn in told} == {"completed"}
    return {turn["id"] for turn in told}


def shown(client: Client, thread: str) -> dict[str, Any]:
    """The turns of a resumed thread, by id."""
    turns = client.call("thread/resume", threadId=thread)["thread"]["turns"]
    return {turn["id"]: turn for turn in turns}


@pytest.mark.parametrize("attempt", range(3))
def test_no_completed_turn_is_lost_and_every_thread_resumes(launch: Callable[..., Daemon], attempt: int) -> None:
    daemon = launch()
    client = daemon.client()
    threads = [client.start_thread()["id"] for _ in range(THREADS)]
    held = {thread: client.hold_turn(thread) for thread in threads[:HELD]}
    asked = run_until(client, threads[HELD:], COMPLETED)
    daemon.kill()
    client.messages.wait_end()
    done = completed(client)
    assert len(done) >= COMPLETED

    client = launch().client()
    turns = {thread: shown(client, thread) for thread in threads}
    everything = {id: turn for by_id in turns.values() for id, turn in by_id.items()}
    for id in done:
        assert everything[id]["status"] == "completed"
        assert [item["type"] for item in everything[id]["items"]] == ["userMessage", "agentMessage"]
        assert everything[id]["items"][1]["text"] == f"You said: {asked[id]}"
    for thread, turn in held.items():
        assert turns[thread][turn]["status"] == "interrupted"
    for thread in threads:
        assert client.run_turn(thread, "go on")["status"] == "completed"
