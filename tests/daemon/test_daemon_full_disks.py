"""A disk that becomes full, through a daemon: docs/files.md, "Damage"."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.driving import completed, created, message_done

from .histories import (
    NOT_SAVED,
    listed,
    read,
    records,
    status,
    thread_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .client import Client
    from .model import Endpoint
    from .process import Daemon


@pytest.fixture
def limit(daemon: Daemon) -> Callable[[int], None]:
    """limit(n) -> no file of the daemon grows beyond n bytes; limit(-1) removes the limit."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of other processes cannot be set here")

    def limit(size: int) -> None:
        hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, hard))

    return limit


def refused_to_save(client: Client, method: str, **params: Any) -> None:
    assert "could not be saved: " in client.refusal(method, **params).message


def test_a_first_append_without_space(
    experimental: Client, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    """A new thread leaves no file, and a thread with turns keeps its file."""
    new, old = experimental.start_thread(), experimental.start_thread()
    experimental.run_turn(old["id"], "first")
    before = Path(old["path"]).read_bytes()
    limit(0)
    for thread in (new, old):
        ended = experimental.run_turn(thread["id"], "lost")
        assert ended["status"] == "failed"
        assert ended["error"]["message"].startswith(NOT_SAVED)
        assert "File too large" in ended["error"]["message"]
        assert status(experimental, thread["id"]) == "systemError"
    assert not Path(new["path"]).exists()
    assert Path(old["path"]).read_bytes() == before
    limit(-1)
    for thread in (new, old):
        ended = experimental.run_turn(thread["id"], "again")
        assert ended["status"] == "completed"
        assert status(experimental, thread["id"]) == "idle"
        assert records(Path(thread["path"]))[0]["type"] == "session_meta"
        assert read(experimental, thread["id"])[-1] == (ended["id"], "completed", ["again", "You said: again"])
        told = "".join(part["text"] for item in endpoint.requests.entries[-1]["input"] for part in item["content"])
        assert "<environment_context>" in told
        assert "lost" not in told


def test_a_full_disk_in_the_middle_of_a_turn_ends_it(
    experimental: Client, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = experimental.start_thread()
    path = Path(thread["path"])
    experimental.run_turn(thread["id"], "first")
    since = experimental.now
    id = experimental.hold_turn(thread["id"])
    before = path.read_bytes()
    limit(len(before) + 20)  # space for a part of a line
    endpoint.release()
    ended = experimental.wait_for("turn/completed", thread["id"], id, since)["turn"]
    assert ended["status"] == "failed"
    assert ended["error"]["message"].startswith(NOT_SAVED)
    assert experimental.wait_for("error", thread["id"], id, since)["error"] == ended["error"]
    assert status(experimental, thread["id"]) == "systemError"
    assert path.read_bytes() == before
    limit(-1)
    again = experimental.run_turn(thread["id"], "again")
    assert again["status"] == "completed"
    assert records(path)[0]["type"] == "session_meta"
    turns = read(experimental, thread["id"])
    assert turns[1] == (id, "interrupted", ["hold on"])
    assert turns[2] == (again["id"], "completed", ["again", "You said: again"])


def test_a_full_disk_at_the_last_lines_of_a_turn_fails_it(
    experimental: Client, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = experimental.start_thread()
    path = Path(thread["path"])

    def script() -> Iterator[list[dict[str, Any]]]:
        yield [created(), message_done("a"), completed()]

    endpoint.scripts["sized"] = script
    experimental.run_turn(thread["id"], "sized")
    sized = experimental.run_turn(thread["id"], "sized")  # the first turn also wrote the thread's context
    end = next(raw for raw in path.read_bytes().splitlines() if sized["id"].encode() in raw and b"task_complete" in raw)
    grown = path.stat().st_size
    before = experimental.run_turn(thread["id"], "sized")
    assert before["status"] == "completed"
    size = path.stat().st_size
    limit(size + (size - grown) - len(end) // 2)
    ended = experimental.run_turn(thread["id"], "sized")
    assert ended["status"] == "failed"
    assert ended["error"]["message"].startswith(NOT_SAVED)
    records(path)
    limit(-1)
    assert experimental.run_turn(thread["id"], "again")["status"] == "completed"
    records(path)
    assert read(experimental, thread["id"])[3] == (ended["id"], "interrupted", ["sized", "a"])


def test_changes_outside_of_turns_without_space_change_nothing(
    experimental: Client, limit: Callable[[int], None]
) -> None:
    thread, stored = experimental.start_thread(), experimental.start_thread()
    for each in (thread, stored):
        experimental.run_turn(each["id"], "first")
    since = experimental.now
    experimental.call("thread/unsubscribe", threadId=stored["id"])
    experimental.wait_for("thread/closed", stored["id"], None, since)
    paths = [Path(each["path"]) for each in (thread, stored)]
    before = [path.read_bytes() for path in paths]
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "injected"}]}
    limit(min(map(len, before)) + 30)
    for each in (thread, stored):
        refused_to_save(experimental, "thread/name/set", threadId=each["id"], name="named")
        refused_to_save(experimental, "thread/metadata/update", threadId=each["id"], gitInfo={"branch": "b"})
        refused_to_save(experimental, "thread/memoryMode/set", threadId=each["id"], mode="disabled")
        refused_to_save(experimental, "thread/fork", threadId=each["id"])
    refused_to_save(experimental, "thread/rollback", threadId=thread["id"], numTurns=1)
    refused_to_save(experimental, "thread/inject_items", threadId=thread["id"], items=[item])
    refused_to_save(experimental, "thread/settings/update", threadId=thread["id"], model="other-model")
    refused_to_save(experimental, "thread/resume", threadId=thread_of(1), history=[item] * 40)
    since = experimental.now
    experimental.call("thread/compact/start", threadId=thread["id"])
    ended = experimental.wait_for("turn/completed", thread["id"], None, since)["turn"]
    assert (ended["status"], ended["error"]["message"][: len(NOT_SAVED)]) == ("failed", NOT_SAVED)
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    assert listed(experimental) == {thread["id"], stored["id"]}
    assert (
        "not available" in experimental.refusal("thread/goal/set", threadId=thread["id"], objective="o" * 4000).message
    )

    limit(-1)
    summary = experimental.call("thread/read", threadId=thread["id"])["thread"]
    assert (summary["name"], summary["gitInfo"]) == (None, None)
    assert len(read(experimental, thread["id"])) == 1
    experimental.call("thread/inject_items", threadId=thread["id"], items=[item])
    experimental.call("thread/name/set", threadId=stored["id"], name="named")
    experimental.call("thread/rollback", threadId=thread["id"], numTurns=1)
    assert experimental.run_turn(thread["id"], "again")["status"] == "completed"
    for path in paths:
        records(path)


def test_the_context_of_unsaved_items_is_sent_again(
    experimental: Client, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = experimental.start_thread(developerInstructions="Mind the gap.")
    experimental.call("thread/memoryMode/set", threadId=thread["id"], mode="enabled")
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "injected"}]}
    limit(Path(thread["path"]).stat().st_size)
    refused_to_save(experimental, "thread/inject_items", threadId=thread["id"], items=[item])
    limit(-1)
    experimental.run_turn(thread["id"], "again")
    told = "".join(part["text"] for entry in endpoint.requests.entries[-1]["input"] for part in entry["content"])
    assert "<environment_context>" in told
    assert told.count("Mind the gap.") == 1
    assert "injected" not in told


def test_instructions_that_could_not_be_saved_are_sent_by_the_next_turn(
    experimental: Client, home: Path, limit: Callable[[int], None], endpoint: Endpoint
) -> None:
    thread = experimental.start_thread()
    experimental.run_turn(thread["id"], "first")
    experimental.call("thread/unsubscribe", threadId=thread["id"])
    experimental.wait_for("thread/closed", thread["id"])
    experimental.call("thread/resume", threadId=thread["id"], developerInstructions="Mind the gap.")
    limit(Path(thread["path"]).stat().st_size)
    assert experimental.run_turn(thread["id"], "lost")["status"] == "failed"
    limit(-1)
    experimental.run_turn(thread["id"], "again")
    told = "".join(part["text"] for entry in endpoint.requests.entries[-1]["input"] for part in entry["content"])
    assert told.count("Mind the gap.") == 1
