"""kill -9 while turns are being streamed: what was said to be completed is there, and every thread goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon.conftest import Client, Daemon

THREADS, HELD, COMPLETED = 8, 3, 25


def run_until(client: Client, threads: list[str], count: int) -> dict[str, str]:
    """Keep a turn running in each thread until `count` have been completed; returns what they were asked, by id."""
    asked: dict[str, str] = {}

    def begin(thread: str) -> None:
        text = f"question {len(asked)} of {thread}"
        asked[client.start_turn(thread, text)] = text

    at = client.now
    for thread in threads:
        begin(thread)
    done: dict[str, str] = {}
    while len(done) < count:
        message = client.messages.find(lambda message: message.get("method") == "turn/completed", at)
        at = client.messages.entries.index(message, at) + 1
        turn = message["params"]["turn"]
        assert turn["status"] == "completed"
        done[turn["id"]] = asked[turn["id"]]
        begin(message["params"]["threadId"])
    return done


def shown(client: Client, thread: str) -> dict[str, Any]:
    """The turns of a thread by id, as a resume shows them."""
    turns = client.call("thread/resume", threadId=thread)["thread"]["turns"]
    return {turn["id"]: turn for turn in turns}


@pytest.mark.parametrize("attempt", range(3))
def test_no_completed_turn_is_lost_and_every_thread_resumes(launch: Callable[..., Daemon], attempt: int) -> None:
    daemon = launch()
    client = daemon.client()
    threads = [client.start_thread()["id"] for _ in range(THREADS)]
    held = {thread: client.hold_turn(thread) for thread in threads[:HELD]}
    done = run_until(client, threads[HELD:], COMPLETED)
    daemon.kill()
    client.messages.wait_end()
    # some more may have been completed between our last look and the end
    for message in client.messages.entries:
        if message.get("method") == "turn/completed":
            assert message["params"]["turn"]["id"] in done or message["params"]["turn"]["status"] == "completed"

    client = launch().client()
    turns = {thread: shown(client, thread) for thread in threads}
    everything = {id: turn for by_id in turns.values() for id, turn in by_id.items()}
    for id, text in done.items():
        assert everything[id]["status"] == "completed"
        assert [item["type"] for item in everything[id]["items"]] == ["userMessage", "agentMessage"]
        assert everything[id]["items"][1]["text"] == f"You said: {text}"
    for thread, turn in held.items():
        assert turns[thread][turn]["status"] == "interrupted"
    for thread in threads:
        assert client.run_turn(thread, "go on")["status"] == "completed"
