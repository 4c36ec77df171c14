"""Threads are started, closed and resumed, through a daemon on stdio and through a second one after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .model import Endpoint
    from .process import Daemon

UNSUBSCRIBE, RESUME = "thread/unsubscribe", "thread/resume"


def texts(thread: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The status and the texts of each turn."""

    def text_of(item: dict[str, Any]) -> str:
        return str(item["text"] if item["type"] == "agentMessage" else item["content"][0]["text"])

    return [(turn["status"], [text_of(item) for item in turn["items"]]) for turn in thread["turns"]]


def kinds(client: Client, thread: str, since: int) -> list[str]:
    """The notifications of a thread. Status changes have their status."""
    received = []
    for message in client.messages.entries[since:]:
        params = message.get("params", {})
        if params.get("threadId") == thread:
            status = params.get("status", {}).get("type") if message["method"] == "thread/status/changed" else None
            received.append(status or message["method"])
    return received


def test_two_hundred_rounds_of_unsubscribe_and_resume_end_in_a_live_thread(client: Client) -> None:
    thread = client.start_thread()["id"]
    client.run_turn(thread, "first")
    for _ in range(200):
        left, back = client.ask((UNSUBSCRIBE, {"threadId": thread}), (RESUME, {"threadId": thread}))
        assert client.answer(left) == {"status": "unsubscribed"}
        assert client.answer(back)["thread"]["id"] == thread
    assert client.call("thread/loaded/list")["data"] == [thread]
    assert client.run_turn(thread, "second")["status"] == "completed"
    assert texts(client.call("thread/read", threadId=thread, includeTurns=True)["thread"]) == [
        ("completed", ["first", "You said: first"]),
        ("completed", ["second", "You said: second"]),
    ]


def test_a_resume_of_a_closing_thread_gets_a_new_one(client: Client) -> None:
    # at the answer to unsubscribe, the thread is closing
    thread = client.start_thread()["id"]
    client.run_turn(thread, "first")
    for _ in range(50):
        assert client.call(UNSUBSCRIBE, threadId=thread) == {"status": "unsubscribed"}
        assert client.call(RESUME, threadId=thread)["thread"]["id"] == thread
    assert client.run_turn(thread, "second")["status"] == "completed"


def test_the_last_unsubscribe_closes_the_thread(client: Client) -> None:
    thread = client.start_thread()["id"]
    client.run_turn(thread, "hello")
    since = client.now
    assert client.call(UNSUBSCRIBE, threadId=thread) == {"status": "unsubscribed"}
    client.wait_for("thread/closed", thread, since=since)
    assert kinds(client, thread, since) == ["notLoaded", "thread/closed"]
    assert client.call("thread/loaded/list")["data"] == []
    assert client.call("thread/read", threadId=thread)["thread"]["status"] == {"type": "notLoaded"}
    assert client.call(UNSUBSCRIBE, threadId=thread) == {"status": "notLoaded"}


def test_a_thread_with_a_running_turn_is_closed_after_the_turn(client: Client, endpoint: Endpoint) -> None:
    thread = client.start_thread()["id"]
    client.hold_turn(thread)
    since = client.now
    assert client.call(UNSUBSCRIBE, threadId=thread) == {"status": "unsubscribed"}
    assert client.call("thread/loaded/list")["data"] == [thread]
    endpoint.release()
    client.wait_for("thread/closed", thread, since=since)
    assert kinds(client, thread, since) == ["idle", "notLoaded", "thread/closed"]
    assert texts(client.call("thread/read", threadId=thread, includeTurns=True)["thread"]) == [
        ("completed", ["hold on", "So far and on"])
    ]


def test_a_delay_keeps_a_thread_without_subscribers_loaded(home: Path, launch: Callable[..., Daemon]) -> None:
    config = home / "config.toml"
    config.write_text(f"thread_unload_delay_secs = 3600\n{config.read_text()}")
    client = launch().client()
    thread = client.start_thread()["id"]
    client.run_turn(thread, "hello")
    since = client.now
    client.call(UNSUBSCRIBE, threadId=thread)
    # a second thread closes at once, by its own setting; without the delay, the first would be closed by then
    other = client.start_thread(config={"thread_unload_delay_secs": 0})["id"]
    client.call(UNSUBSCRIBE, threadId=other)
    client.wait_for("thread/closed", other, since=since)
    assert client.call("thread/loaded/list")["data"] == [thread]


def test_archive_unarchive_and_resume(client: Client, home: Path) -> None:
    started = client.start_thread()
    thread, path = started["id"], Path(started["path"])
    client.run_turn(thread, "keep this")
    since = client.now
    assert client.call("thread/archive", threadId=thread) == {}
    client.wait_for("thread/archived", thread, since=since)
    assert kinds(client, thread, since)[0] == "notLoaded"
    assert not path.exists()
    assert (home / "archived_sessions" / path.name).is_file()
    assert client.refusal(RESUME, threadId=thread).message == f"no rollout found for thread id {thread}"
    assert [row["id"] for row in client.call("thread/list", archived=True)["data"]] == [thread]
    assert client.call("thread/list")["data"] == []

    back = client.call("thread/unarchive", threadId=thread)["thread"]
    assert (back["path"], back["status"]) == (str(path), {"type": "notLoaded"})
    client.wait_for("thread/unarchived", thread, since=since)
    resumed = client.call(RESUME, threadId=thread)["thread"]
    assert texts(resumed) == [("completed", ["keep this", "You said: keep this"])]
    assert client.run_turn(thread, "and this")["status"] == "completed"


def test_archiving_interrupts_the_running_turn_first(client: Client) -> None:
    thread = client.start_thread()["id"]
    turn = client.hold_turn(thread)
    since = client.now
    assert client.call("thread/archive", threadId=thread) == {}
    assert client.wait_for("turn/completed", thread, turn, since)["turn"]["status"] == "interrupted"
    client.wait_for("thread/archived", thread, since=since)


def test_a_second_process_resumes_where_the_first_one_ended(launch: Callable[..., Daemon], endpoint: Endpoint) -> None:
    first = launch()
    client = first.client()
    thread = client.start_thread()["id"]
    client.run_turn(thread, "remember me")
    client.wire.close()
    assert first.wait() == 0

    client = launch().client()
    resumed = client.call(RESUME, threadId=thread)["thread"]
    assert texts(resumed) == [("completed", ["remember me", "You said: remember me"])]
    assert client.run_turn(thread, "next")["status"] == "completed"
    parts = [part["text"] for item in endpoint.requests.entries[-1]["input"] for part in item["content"]]
    assert [text for text in parts if text in ("remember me", "You said: remember me", "next")] == [
        "remember me",
        "You said: remember me",
        "next",
    ]


def test_a_thread_that_another_process_is_writing_to_is_refused(
    launch: Callable[..., Daemon], endpoint: Endpoint
) -> None:
    first, second = launch().client(), launch().client()
    thread = first.start_thread()["id"]
    turn = first.hold_turn(thread)
    assert "already has an active writer" in second.refusal(RESUME, threadId=thread).message
    endpoint.release()
    assert first.wait_for("turn/completed", thread, turn)["turn"]["status"] == "completed"
    assert second.call(RESUME, threadId=thread)["thread"]["id"] == thread
    assert second.run_turn(thread, "mine now")["status"] == "completed"
