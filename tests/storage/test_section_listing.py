"""Lists of the threads of a section: in its order, page by page."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.home import Home
from spindle.storage.threads.query import ThreadQuery
from spindle.storage.threads.section_listing import PlacedThread, list_section
from spindle.storage.threads.thread_errors import InvalidCursor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def thread_id(name: str) -> str:
    return f"019a0000-0000-7000-8000-{ord(name):012}"


def write(home: Home, name: str, *, at: int = 0, archived: bool = False, **meta: Any) -> None:
    folder = home.archived_sessions if archived else home.sessions / "2025" / "10" / "20"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2025-10-20T12-00-00-{thread_id(name)}.jsonl"
    head = {
        "id": thread_id(name),
        "timestamp": f"2025-10-20T12:00:{at:02}Z",
        "source": "cli",
        "model_provider": "openai",
    }
    lines = [
        {"timestamp": "", "type": "session_meta", "payload": head | meta},
        {"timestamp": "", "type": "event_msg", "payload": {"type": "user_message", "message": name}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(path, (1_000_000 + at, 1_000_000 + at))


def pages(home: Home, names: str, **query: Any) -> list[str]:
    threads = [PlacedThread(thread_id(name), place * 10) for place, name in enumerate(names, 1)]
    found: list[str] = []
    cursor = None
    for _ in range(20):
        page = list_section(home, threads, ThreadQuery(cursor=cursor, **query))
        found.append("".join(thread.preview for thread in page.data))
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


def test_the_order_is_the_section_s(home: Home) -> None:
    for name in "abcde":
        write(home, name)
    assert pages(home, "cadbe", sort_direction="asc") == ["cadbe"]
    assert pages(home, "cadbe", sort_direction="desc") == ["ebdac"]
    assert pages(home, "cadbe", sort_direction="asc", limit=2) == ["ca", "db", "e"]
    assert pages(home, "cadbe", sort_direction="desc", limit=2) == ["eb", "da", "c"]


def test_threads_that_are_not_shown_are_skipped(home: Home) -> None:
    write(home, "a")
    write(home, "b", archived=True)
    write(home, "c", source="exec")
    write(home, "d", model_provider="other")
    write(home, "e", cwd="/x")
    assert pages(home, "abcdef", sort_direction="asc") == ["ae"]
    assert pages(home, "abcdef", sort_direction="asc", limit=1) == ["a", "e"]
    assert pages(home, "abcdef", archived=True) == ["b"]
    assert pages(home, "abcdef", source_kinds=["exec"]) == ["c"]
    assert pages(home, "abcdef", model_providers=["other"]) == ["d"]
    assert pages(home, "abcdef", cwd=["/x"]) == ["e"]
    assert pages(home, "abcdef", search_term="a") == ["a"]
    assert pages(home, "abcdef", excluded_ids={thread_id("a")}) == ["e"]


def test_the_opposite_direction_starts_with_the_first_thread(home: Home) -> None:
    for name in "abc":
        write(home, name)
    threads = [PlacedThread(thread_id(name), place) for place, name in enumerate("abc")]
    first = list_section(home, threads, ThreadQuery(sort_direction="desc", limit=2))
    back = ThreadQuery(sort_direction="asc", cursor=first.backwards_cursor)
    assert [thread.preview for thread in list_section(home, threads, back).data] == [
        "c"
    ]


@pytest.mark.parametrize("cursor", ["", "x", "|", "1", "1|a|b", "-1|a", "²|a"])
def test_cursors_of_others_are_refused(home: Home, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        list_section(home, [], ThreadQuery(cursor=cursor))
