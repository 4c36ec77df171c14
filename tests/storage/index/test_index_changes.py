"""The next list shows changes by other programs."""

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads.names import record_name
from spindle.storage.threads.query import ThreadQuery

Write = Callable[..., Path]
Listed = Callable[..., list[str]]


def asked(text: str) -> str:
    return json.dumps({"timestamp": "", "type": "event_msg", "payload": {"type": "user_message", "message": text}}) + "\n"


def test_an_empty_home_has_no_threads(listed: Listed) -> None:
    assert listed() == []


def test_a_new_thread_is_on_the_next_page(write: Write, listed: Listed) -> None:
    for day in range(1, 6):
        write(f"t{day}", f"2025-01-{day:02}T12-00-00")
        assert listed()[0] == f"t{day}"
        write(f"u{day}", f"2025-01-{day:02}T13-00-00")
        assert listed()[0] == f"u{day}"
    write("a year later", "2026-02-01T12-00-00")
    assert listed()[0] == "a year later"


def test_two_threads_of_the_same_tick_of_the_clock(write: Write, listed: Listed) -> None:
    first = write("one").parent
    tick = time.time_ns() + 3600 * 10**9  # young, however long the test takes
    os.utime(first, ns=(tick, tick))
    assert listed() == ["one"]
    write("two")
    os.utime(first, ns=(tick, tick))  # as on file systems with a coarse clock
    assert sorted(listed()) == ["one", "two"]


def test_an_archived_thread_changes_sides(home: Home, write: Write, listed: Listed) -> None:
    path = write("moving")
    assert (listed(), listed(archived=True)) == (["moving"], [])
    home.archived_sessions.mkdir()
    away = path.rename(home.archived_sessions / path.name)
    assert (listed(), listed(archived=True)) == ([], ["moving"])
    away.rename(path)
    assert (listed(), listed(archived=True)) == (["moving"], [])


def test_an_unarchived_old_thread_is_first_by_change(home: Home, write: Write, listed: Listed) -> None:
    write("newer", "2025-01-09T12-00-00")
    path = write("older", "2025-01-01T12-00-00", archived=True)
    assert listed(sort_key="updated_at") == ["newer"]
    back = home.sessions / "2025/01/01" / path.name
    back.parent.mkdir(parents=True)
    path.rename(back)
    os.utime(back)
    assert listed(sort_key="updated_at") == ["older", "newer"]


def test_a_removed_thread_leaves_its_place_to_the_next(home: Home, write: Write, listed: Listed) -> None:
    paths = [write(f"t{day}", f"2025-01-{day:02}T12-00-00") for day in range(1, 6)]
    assert listed(limit=2) == ["t5", "t4"]
    paths[4].unlink()
    assert listed(limit=2) == ["t4", "t3"]


def test_threads_of_a_removed_folder_are_removed(home: Home, write: Write, listed: Listed) -> None:
    write("gone", "2024-03-01T12-00-00")
    write("stays")
    assert listed() == ["stays", "gone"]
    (home.sessions / "2024").rename(home.path / "elsewhere")
    assert listed() == ["stays"]
    (home.path / "elsewhere").rename(home.sessions / "2024")
    assert listed() == ["stays", "gone"]


def test_a_file_deleted_without_a_changed_folder_is_not_shown(home: Home, write: Write, listed: Listed) -> None:
    kept, gone = write("kept"), write("gone")
    assert set(listed()) == {"kept", "gone"}
    folder = os.stat(kept.parent)
    gone.unlink()
    os.utime(kept.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))
    assert listed() == ["kept"]


def test_a_thread_appears_with_its_first_user_message(write: Write, listed: Listed) -> None:
    path = write(None)
    assert listed() == []
    with path.open("a") as file:
        file.write(asked("now"))
    assert listed() == ["now"]


def test_an_empty_file_becomes_a_thread(write: Write, listed: Listed) -> None:
    path = write("whole")
    text = path.read_text()
    path.write_text("")
    assert listed() == []
    path.write_text(text)
    assert listed() == ["whole"]


def test_a_change_is_seen_in_time_and_order(write: Write, listed: Listed, index: ThreadIndex) -> None:
    path = write("one", "2025-01-01T12-00-00")
    write("two", "2025-01-02T12-00-00")
    assert listed(sort_key="updated_at") == ["two", "one"]
    os.utime(path, (10_000_000, 10_000_000))
    assert listed(sort_key="updated_at") == ["one", "two"]
    page = index.page(ThreadQuery())
    assert page is not None
    assert [thread.updated_at for thread in page.data][1] == 10_000_000


def test_a_file_that_was_replaced_is_read_again(write: Write, listed: Listed) -> None:
    path = write("before", id="00000000-0000-7000-8000-000000000001")
    assert listed() == ["before"]
    path.unlink()
    write("something else", id="00000000-0000-7000-8000-000000000001")
    assert listed() == listed(search_term="something") == ["something else"]
    assert listed(search_term="before") == []


def test_an_unreadable_file_is_read_again(
    write: Write, listed: Listed, index: ThreadIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the disk, or a changed mode: neither changes the file's time."""
    write("one")
    with monkeypatch.context() as patch:
        patch.setattr("spindle.storage.index.rows.read_head", broken)
        assert listed() == []
        index.catch_up()
    assert listed() == []
    index.catch_up()
    assert listed() == ["one"]


def broken(_path: str) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_change_far_down_is_found_by_catch_up(write: Write, listed: Listed, index: ThreadIndex) -> None:
    paths = [write(f"t{number:03}", f"2025-01-01T{number // 60:02}-{number % 60:02}-00") for number in range(400)]
    assert index.page(ThreadQuery()) is None
    index.catch_up()
    assert listed(limit=1, sort_key="updated_at") == ["t399"]
    old = paths[3]
    with old.open("a") as file:
        file.write(asked("again"))
    index.catch_up()
    assert listed(limit=1, sort_key="updated_at") == ["t003"]


def test_a_loaded_thread_is_checked_at_any_place(write: Write, index: ThreadIndex) -> None:
    paths = [write(f"t{number:03}", f"2025-01-01T{number // 60:02}-{number % 60:02}-00") for number in range(400)]
    index.catch_up()
    os.utime(paths[3], (10_000_000, 10_000_000))
    page = index.page(ThreadQuery(limit=1, sort_key="updated_at"), watched=[paths[3].stem[-36:]])
    assert page is not None
    assert page.data[0].preview == "t003"


def test_new_names_are_read(home: Home, write: Write, index: ThreadIndex) -> None:
    one, two = (write(text, id=f"00000000-0000-7000-8000-00000000000{text}").stem[-36:] for text in "12")

    def names() -> dict[str, str | None]:
        page = index.page(ThreadQuery())
        assert page is not None
        return {thread.preview: thread.name for thread in page.data}

    assert names() == {"1": None, "2": None}
    record_name(home, one, "first")
    assert names() == {"1": "first", "2": None}
    record_name(home, one, "second")
    record_name(home, two, "other")
    assert names() == {"1": "second", "2": "other"}
    record_name(home, two, "")
    assert names() == {"1": "second", "2": None}
    file = home.path / "session_index.jsonl"
    with file.open("a") as out:
        out.write(json.dumps({"id": two, "thread_name": "no newline"}))
    assert names() == {"1": "second", "2": "no newline"}
    file.write_text(json.dumps({"id": one, "thread_name": "written again, and longer " * 30}) + "\n")
    assert names()["2"] is None
    file.unlink()
    assert names() == {"1": None, "2": None}


def test_a_compressed_thread_is_listed_once_under_its_plain_name(write: Write, index: ThreadIndex) -> None:
    path = write("old one")
    data = zstandard.ZstdCompressor().compress(path.read_bytes())
    compressed = path.with_name(path.name + ".zst")

    def shown() -> list[tuple[str, Path]]:
        page = index.page(ThreadQuery())
        assert page is not None
        return [(thread.preview, thread.path) for thread in page.data]

    assert shown() == [("old one", path)]
    compressed.write_bytes(data)
    assert shown() == [("old one", path)]
    path.unlink()
    assert shown() == [("old one", path)]
    id = path.stem[-36:]
    assert index.locate(id) == compressed
    path.write_bytes(zstandard.ZstdDecompressor().decompress(data))
    compressed.unlink()
    assert shown() == [("old one", path)]
    assert index.locate(id) == path


def test_a_fork_that_refers_to_its_source_shows_the_sources_message(home: Home, write: Write, listed: Listed) -> None:
    source = write("the question", archived=True)
    write(None, history_base={"thread_id": source.stem[-36:], "end_ordinal_exclusive": 2})
    assert listed() == ["the question"]
    write(None, history_base={"thread_id": "00000000-0000-7000-8000-00000000000f"})
    assert listed() == ["the question"]


def test_locating(home: Home, write: Write, index: ThreadIndex, listed: Listed) -> None:
    path = write("here")
    id = path.stem[-36:]
    assert index.locate(id) is None
    listed()
    assert index.locate(id) == path
    assert index.locate_archived(id) is None
    path.unlink()
    assert index.locate(id) is None
