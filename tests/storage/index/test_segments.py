"""Reverted threads: listed once, by their newest segment, from the index and from the files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads.listing import list_threads
from spindle.storage.threads.query import ThreadQuery

Write = Callable[..., Path]
Rows = Callable[..., list[tuple[str, Path]]]

THREAD = "01940000-0000-7000-8000-000000000001"
OTHER = "01940000-0000-7000-8000-000000000002"
FIRST, SECOND = "01945000-0000-7000-8000-00000000000a", "01947000-0000-7000-8000-00000000000b"
DAYS = [f"2025-01-{day:02}T12-00-00" for day in (1, 2, 3, 4)]


def whole(path: Path) -> dict[str, Any]:
    return {"end_ordinal_exclusive": 2, "end_byte_offset": path.stat().st_size}


@pytest.fixture
def segment(write: Write) -> Write:
    """A file of THREAD; `base` is the rollout id and the file in which its history starts."""

    def segment(text: str | None, stamp: str, base: tuple[str, Path] | None = None, **more: Any) -> Path:
        if base is not None:
            more["history_base"] = {"thread_id": base[0], **whole(base[1])}
        return write(text, stamp, **{"id": THREAD, "history_mode": "paginated", **more})

    return segment


@pytest.fixture(params=["index", "files"])
def rows(request: pytest.FixtureRequest, home: Home, index: ThreadIndex) -> Rows:
    """The first messages and paths of a page, from the index or from the files."""

    def rows(**query: Any) -> list[tuple[str, Path]]:
        asked = ThreadQuery(**query)
        page = index.page(asked) if request.param == "index" else list_threads(home, asked)
        assert page is not None
        return [(thread.preview, thread.path) for thread in page.data]

    return rows


@pytest.mark.parametrize("sort_key", ["created_at", "updated_at"])
@pytest.mark.parametrize("sort_direction", ["asc", "desc"])
def test_a_reverted_thread_is_listed_once_at_the_place_of_its_newest_segment(
    write: Write, segment: Write, rows: Rows, sort_key: str, sort_direction: str
) -> None:
    first = segment("the question", DAYS[0])
    other = write("another", DAYS[1], id=OTHER)
    second = segment("of the middle", DAYS[2], (THREAD, first), segment=FIRST)
    newest = segment("later", DAYS[3], (FIRST, second), segment=SECOND)
    expected = [("another", other), ("the question", newest)]
    query = {"sort_key": sort_key, "sort_direction": sort_direction}
    assert rows(**query) == (expected if sort_direction == "asc" else expected[::-1])
    page = rows(limit=1, **query)
    assert page == rows(**query)[:1]


def test_pages_of_the_index_and_of_the_files_do_not_show_older_segments(
    home: Home, index: ThreadIndex, write: Write, segment: Write
) -> None:
    first = segment("question", DAYS[0])
    write("another", DAYS[1], id=OTHER)
    segment(None, DAYS[3], (THREAD, first), segment=FIRST)
    for page in (index.page, lambda query: list_threads(home, query)):
        seen: list[str] = []
        cursor = None
        while True:
            found = page(ThreadQuery(limit=1, cursor=cursor))
            assert found is not None
            seen += [thread.preview for thread in found.data]
            cursor = found.next_cursor
            if cursor is None:
                break
        assert seen == ["question", "another"]


def test_a_page_of_the_files_lists_only_the_folders_from_its_days_on(
    home: Home, segment: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, stamp in enumerate(DAYS):
        segment(f"t{number}", stamp, id=f"{OTHER[:-1]}{number}")
    listed: list[str] = []
    listdir = os.listdir

    def counted(folder: str) -> list[str]:
        listed.append(str(folder))
        return listdir(folder)

    monkeypatch.setattr("os.listdir", counted)
    page = list_threads(home, ThreadQuery(limit=1))
    assert [thread.preview for thread in page.data] == ["t3"]
    days = {folder[-2:] for folder in listed if folder.count("/") == str(home.sessions).count("/") + 3}
    assert days == {"04", "03"}  # the next one, for whether there are more


def test_a_segment_that_is_added_and_removed(segment: Write, rows: Rows) -> None:
    first = segment("question", DAYS[0])
    assert rows() == [("question", first)]
    second = segment(None, DAYS[1], (THREAD, first), segment=FIRST)
    assert rows() == [("question", second)]
    third = segment(None, DAYS[1], (THREAD, first), segment=SECOND)
    assert rows() == [("question", third)]
    third.unlink()
    assert rows() == [("question", second)]
    second.unlink()
    second.parent.rmdir()
    assert rows() == [("question", first)]


def test_the_index_asks_the_folders_for_newer_segments(segment: Write, index: ThreadIndex) -> None:
    first = segment("question", DAYS[0])
    index.page(ThreadQuery())
    assert index.locate(THREAD) == first
    same_day = segment(None, DAYS[0], (THREAD, first), segment=FIRST)
    assert index.locate(THREAD) == same_day
    later = segment(None, DAYS[3], (THREAD, first), segment=SECOND)
    assert index.locate(THREAD) == later


def test_archived_and_active_files_are_independent(segment: Write, rows: Rows) -> None:
    first = segment("question", DAYS[0], archived=True)
    second = segment(None, DAYS[1], (THREAD, first), segment=FIRST, archived=True)
    copy = segment("question", DAYS[0])
    assert rows(archived=True) == [("question", second)]
    assert rows() == [("question", copy)]


def test_a_first_message_after_the_kept_part_is_not_shown(write: Write, segment: Write, rows: Rows) -> None:
    first = segment("not kept", DAYS[0])
    base = {"thread_id": THREAD, "end_ordinal_exclusive": 1, "end_byte_offset": first.read_bytes().index(b"\n") + 1}
    newest = segment("asked instead", DAYS[1], segment=FIRST, history_base=base)
    assert rows() == [("asked instead", newest)]


def test_a_thread_reverted_to_its_beginning_keeps_its_first_message(segment: Write, rows: Rows) -> None:
    segment("once asked", DAYS[0])
    newest = segment(None, DAYS[1], segment=FIRST)
    assert rows() == [("once asked", newest)]
    again = segment("asked again", DAYS[2], segment=SECOND)
    assert rows() == [("asked again", again)]


def test_a_fork_of_a_reverted_thread_shows_the_first_message(write: Write, segment: Write, rows: Rows) -> None:
    first = segment("question", DAYS[0], archived=True)
    second = segment(None, DAYS[1], (THREAD, first), segment=FIRST, archived=True)
    base = {"thread_id": FIRST, **whole(second)}
    fork = write("said in the fork", DAYS[2], id=OTHER, history_mode="paginated", history_base=base)
    assert rows() == [("question", fork)]
