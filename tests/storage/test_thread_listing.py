"""Lists of stored threads: order, pages, filters."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.home import Home
from spindle.storage.threads.listing import TooMuchToRead, list_threads
from spindle.storage.threads.names import record_name
from spindle.storage.threads.query import ThreadQuery
from spindle.storage.threads.thread_errors import InvalidCursor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def write(
    home: Home, text: str | None, stamp: str = "2025-01-05T12-00-00", *, archived: bool = False, **meta: Any
) -> str:
    thread_id = str(uuid.uuid4())
    folder = home.archived_sessions if archived else home.sessions / stamp[:10].replace("-", "/")
    folder.mkdir(parents=True, exist_ok=True)
    head = {
        "id": thread_id,
        "timestamp": "2025-01-05T12:00:00Z",
        "cwd": "/",
        "source": "cli",
        "model_provider": "openai",
    }
    lines = [{"timestamp": "", "type": "session_meta", "payload": head | meta}]
    if text is not None:
        lines.append({"timestamp": "", "type": "event_msg", "payload": {"type": "user_message", "message": text}})
    path = folder / f"rollout-{stamp}-{thread_id}.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    return thread_id


def numbered(home: Home, count: int, **meta: Any) -> None:
    for day in range(1, count + 1):
        write(home, f"t{day}", f"2025-01-{day:02}T12-00-00", **meta)


def listed(home: Home, **query: Any) -> list[str]:
    return [thread.preview for thread in list_threads(home, ThreadQuery(**query)).data]


def walk(home: Home, **query: Any) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    for _ in range(100):
        page = list_threads(home, ThreadQuery(cursor=cursor, **query))
        found += [thread.preview for thread in page.data]
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


def test_nothing_is_listed_in_an_empty_home(home: Home) -> None:
    page = list_threads(home, ThreadQuery())
    assert (page.data, page.next_cursor, page.backwards_cursor) == ([], None, None)


def test_newest_first_by_default(home: Home) -> None:
    numbered(home, 3)
    assert listed(home) == ["t3", "t2", "t1"]
    assert listed(home, sort_direction="asc") == ["t1", "t2", "t3"]


@pytest.mark.parametrize("sort_key", ["created_at", "updated_at"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("archived", [False, True])
def test_threads_of_the_same_moment_are_neither_skipped_nor_repeated(
    home: Home, sort_key: str, direction: str, archived: bool
) -> None:
    for number in range(7):
        write(home, f"t{number}", archived=archived)
    for path in home.path.rglob("*.jsonl"):
        os.utime(path, (5, 5))
    pages = walk(home, limit=2, sort_key=sort_key, sort_direction=direction, archived=archived)
    assert sorted(pages) == [f"t{number}" for number in range(7)]
    assert pages == listed(home, sort_key=sort_key, sort_direction=direction, archived=archived)


def test_by_change_the_file_s_time_counts(home: Home) -> None:
    numbered(home, 2)
    for at, path in enumerate(sorted(home.sessions.rglob("*.jsonl"), reverse=True)):
        os.utime(path, (at, at))
    assert listed(home, sort_key="updated_at") == ["t1", "t2"]
    assert listed(home, sort_key="recency_at", sort_direction="asc") == ["t2", "t1"]


def test_the_last_page_has_no_cursor(home: Home) -> None:
    numbered(home, 2)
    assert list_threads(home, ThreadQuery(limit=2)).next_cursor is None
    assert list_threads(home, ThreadQuery(limit=1)).next_cursor is not None


def test_backwards_starts_with_the_first_thread(home: Home) -> None:
    numbered(home, 4)
    first = list_threads(home, ThreadQuery(limit=2))
    second = list_threads(home, ThreadQuery(limit=2, cursor=first.next_cursor))
    assert [thread.preview for thread in second.data] == ["t2", "t1"]
    assert listed(home, cursor=second.backwards_cursor, sort_direction="asc") == ["t2", "t3", "t4"]


@pytest.mark.parametrize("cursor", ["2025-01-03T12:00:00Z", "2025-01-03T12-00-00", "2025-01-03T13:00:00+01:00"])
def test_a_bare_time_is_a_cursor_too(home: Home, cursor: str) -> None:
    numbered(home, 4)
    assert listed(home, cursor=cursor) == ["t2", "t1"]
    assert listed(home, cursor=cursor, sort_direction="asc") == ["t4"]


@pytest.mark.parametrize("cursor", ["bogus", "", "2025-01-03", "2025-01-03T12:00:00Z|", "2025-01-03T12:00:00Z|a|b"])
def test_malformed_cursors(home: Home, cursor: str) -> None:
    with pytest.raises(InvalidCursor) as caught:
        list_threads(home, ThreadQuery(cursor=cursor))
    assert str(caught.value) == f"invalid cursor: {cursor}"


def test_page_sizes(home: Home) -> None:
    for number in range(110):
        write(home, "t", f"2025-01-{1 + number // 24:02}T{number % 24:02}-00-00")
    assert [len(listed(home, limit=limit)) for limit in (None, 0, 30, 1000)] == [25, 1, 30, 100]


def test_providers(home: Home) -> None:
    write(home, "mine", model_provider="mine")
    write(home, "other", model_provider="other")
    write(home, "none", model_provider=None)
    assert set(listed(home, default_provider="mine")) == {"mine", "none"}
    assert set(listed(home, default_provider="mine", model_providers=[])) == {"mine", "other", "none"}
    assert listed(home, default_provider="mine", model_providers=["other"]) == ["other"]


SOURCES: dict[str, tuple[object, set[str]]] = {
    "cli": ("cli", {"cli"}),
    "exec": ("exec", {"exec"}),
    "server": ("mcp", {"appServer"}),
    "unknown": ("unknown", {"unknown"}),
    "custom": ({"custom": "mine"}, {"unknown"}),
    "review": ({"subagent": "review"}, {"subAgent", "subAgentReview"}),
    "compact": ({"subagent": "compact"}, {"subAgent", "subAgentCompact"}),
    "spawned": ({"subagent": {"thread_spawn": {}}}, {"subAgent", "subAgentThreadSpawn"}),
    "other": ({"subagent": {"other": "x"}}, {"subAgent", "subAgentOther"}),
}
KINDS = sorted(set().union(*(kinds for _, kinds in SOURCES.values())))


@pytest.mark.parametrize("kind", KINDS)
def test_each_source_kind_selects_its_threads(home: Home, kind: str) -> None:
    for name, (source, _) in SOURCES.items():
        write(home, name, source=source)
    assert set(listed(home, source_kinds=[kind])) == {name for name, (_, kinds) in SOURCES.items() if kind in kinds}
    assert listed(home) == listed(home, source_kinds=[]) == ["cli"]


def test_filters_work_across_pages(home: Home) -> None:
    for day in range(1, 8):
        write(home, f"t{day}", f"2025-01-{day:02}T12-00-00", cwd="/even" if day % 2 == 0 else "/odd")
    assert walk(home, limit=2, cwd=["/even"]) == ["t6", "t4", "t2"]
    assert listed(home, cwd=[]) == []
    assert len(listed(home, cwd=["/even", "/odd"])) == 7


def test_search_in_names_and_first_messages(home: Home) -> None:
    write(home, "find the Needle here")
    record_name(home, write(home, "something else"), "Haystack talk")
    assert listed(home, search_term="Needle") == ["find the Needle here"]
    assert listed(home, search_term="needle") == []
    assert listed(home, search_term="Haystack") == ["something else"]
    assert len(listed(home, search_term="")) == 2


def test_files_that_are_not_threads_are_skipped(home: Home) -> None:
    write(home, "whole")
    write(home, None)
    folder = home.sessions / "2025/01/05"
    (folder / f"rollout-2025-01-05T12-00-00-{uuid.uuid4()}.jsonl").touch()
    (folder / f"rollout-2025-13-05T12-00-00-{uuid.uuid4()}.jsonl").write_text("{}\n")
    (folder / "notes.txt").touch()
    assert listed(home) == ["whole"]


def test_a_page_reads_no_more_heads_than_it_needs(home: Home) -> None:
    numbered(home, 20)
    assert len(list_threads(home, ThreadQuery(limit=3), heads=4).data) == 3
    with pytest.raises(TooMuchToRead):
        list_threads(home, ThreadQuery(limit=3), heads=3)
