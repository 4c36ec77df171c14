"""Long threads through a daemon: resumed, paged through and read whole, on each transport."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Endpoint
    from .process import Daemon

THREAD = "00000000-0000-7000-8000-000000000001"
TURNS = 600


def line(kind: str, **payload: Any) -> str:
    return (
        json.dumps({"timestamp": "2025-01-05T12:00:00.000Z", "type": kind, "payload": payload}, separators=(",", ":"))
        + "\n"
    )


def write(home: Path, turns: int = TURNS) -> Path:
    """A rollout with turns of 1 KiB."""
    folder = home / "sessions/2025/01/05"
    folder.mkdir(parents=True)
    path = folder / f"rollout-2025-01-05T12-00-00-{THREAD}.jsonl"
    head = {
        "id": THREAD,
        "timestamp": "2025-01-05T12:00:00.000Z",
        "cwd": "/",
        "originator": "o",
        "cli_version": "0",
        "source": "cli",
    }
    lines = [line("session_meta", **head, model_provider="scripted")]
    for number in range(turns):
        content = [{"type": "input_text", "text": f"question {number}"}]
        lines += [
            line("event_msg", type="task_started", turn_id=f"t{number}", started_at=number),
            line("response_item", type="message", role="user", content=content),
            line("event_msg", type="user_message", message=f"question {number}", images=[], text_elements=[]),
            line("event_msg", type="agent_message", message=f"answer {number} " + "ö" * 500),
            line("event_msg", type="task_complete", turn_id=f"t{number}", completed_at=number, duration_ms=1),
        ]
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("listen", ["stdio://", "ws://127.0.0.1:0", "unix"])
def test_a_long_thread_comes_in_one_message(
    launch: Callable[..., Daemon], home: Path, tmp_path: Path, listen: str
) -> None:
    write(home)
    client = launch(f"unix://{tmp_path}/s" if listen == "unix" else listen).client()
    for method, params in (("thread/read", {"includeTurns": True}), ("thread/resume", {}), ("thread/resume", {})):
        thread = client.call(method, threadId=THREAD, **params)["thread"]
        assert [turn["id"] for turn in thread["turns"]] == [f"t{number}" for number in range(TURNS)]
        last = thread["turns"][-1]
        assert (last["status"], last["items"][1]["text"][:10]) == ("completed", "answer 599")
        assert last["items"][0]["id"] == f"item-{2 * TURNS - 1}"


def test_pages_of_a_thread_loaded_or_not_are_the_same(daemon: Daemon, home: Path) -> None:
    write(home)
    client = daemon.client(experimentalApi=True)
    pages = []
    for _ in range(2):
        page = client.call("thread/turns/list", threadId=THREAD, limit=3)
        more = client.call(
            "thread/turns/list", threadId=THREAD, limit=2, cursor=page["nextCursor"], itemsView="notLoaded"
        )
        entries = client.call("thread/items/list", threadId=THREAD, limit=2, sortDirection="desc")
        pages.append((page, more, entries))
        resumed = client.call("thread/resume", threadId=THREAD, excludeTurns=True, initialTurnsPage={"limit": 3})
        assert resumed["thread"]["turns"] == []
        assert resumed["initialTurnsPage"] == page
    assert pages[0] == pages[1]
    page, more, entries = pages[0]
    assert [turn["id"] for turn in page["data"]] == ["t599", "t598", "t597"]
    assert [(turn["id"], turn["items"]) for turn in more["data"]] == [("t596", []), ("t595", [])]
    assert [(entry["turnId"], entry["item"]["id"]) for entry in entries["data"]] == [
        ("t599", "item-1200"),
        ("t599", "item-1199"),
    ]
    again = client.call(
        "thread/items/list", threadId=THREAD, limit=1, cursor=resumed["itemsBackwardsCursor"], sortDirection="desc"
    )
    assert again["data"] == entries["data"][:1]


def test_the_first_turn_after_a_resume_sends_the_model_everything(client: Any, home: Path, endpoint: Endpoint) -> None:
    write(home, 3)
    client.call("thread/resume", threadId=THREAD, excludeTurns=True)
    client.run_turn(THREAD, "more")
    asked = [item["content"][0]["text"] for item in endpoint.requests.entries[-1]["input"] if item["role"] == "user"]
    assert asked[:3] == ["question 0", "question 1", "question 2"]
    assert asked[-1] == "more"


def test_a_removed_rollout_fails_the_turn_and_is_not_recreated(client: Any, home: Path) -> None:
    thread = client.start_thread()
    client.run_turn(thread["id"], "first")
    Path(thread["path"]).unlink()
    ended = client.run_turn(thread["id"], "second")
    assert ended["status"] == "failed"
    assert "history could not be saved" in ended["error"]["message"]
    assert "is gone" in ended["error"]["message"]
    assert not Path(thread["path"]).exists()


def test_rollouts_cut_anywhere_are_continued(daemon: Daemon, home: Path) -> None:
    client = daemon.client()
    thread = client.start_thread()
    for text in ("first", "zwölf", "third"):
        client.run_turn(thread["id"], text)
    client.call("thread/unsubscribe", threadId=thread["id"])
    path = Path(thread["path"])
    data = path.read_bytes()
    head = data.index(b"\n") + 1
    for number, cut in enumerate(range(head, len(data) + 1, (len(data) - head) // 40)):
        id = f"00000000-0000-7000-8000-{number:012d}"
        part = path.with_name(path.name.replace(thread["id"], id))
        part.write_bytes(data[:cut].replace(thread["id"].encode(), id.encode()))
        expected = client.call("thread/resume", threadId=id)["thread"]["turns"]
        ended = client.run_turn(id, "more")
        assert ended["status"] == "completed"
        client.call("thread/unsubscribe", threadId=id)
        turns = client.call("thread/resume", threadId=id)["thread"]["turns"]
        assert [turn["items"] for turn in turns[:-1]] == [turn["items"] for turn in expected]
        assert turns[-1]["items"][0]["content"][0]["text"] == "more"
        client.call("thread/unsubscribe", threadId=id)
