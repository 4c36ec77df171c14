"""Writing to a rollout: repair of torn ends, foreign lines, ordinals, failures."""

import errno
import fcntl
import os
import sys
import time
from datetime import UTC, datetime

import pytest

from spindle.rpc.protocol.converter import unstructure
from spindle.storage.rollout.journal import FRESH, Journal, JournalError, WriterBusy
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.load import load

THREAD = "00000000-0000-7000-8000-000000000001"
NOON = datetime(2025, 1, 5, 12, tzinfo=UTC)


def user_line(text):
    return encode_line("event_msg", {"type": "user_message", "message": text}, NOON)


def meta():
    return encode_line("session_meta", {"id": THREAD, "cwd": "/"}, NOON)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions" / "2025" / "r.jsonl"


@pytest.fixture
def journal(path, tmp_path):
    made = Journal(path, tmp_path / "locks" / f"{THREAD}.lock")
    yield made
    made.end()


def decoded(path):
    """The lines of a file, all of which must be readable."""
    found = [decode_line(line) for line in lines(path) if line != b"\n"]
    assert None not in found
    return [line for line in found if line is not None]


def messages(path):
    return [line.payload.get("message") for line in decoded(path)]


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def test_a_new_file_is_created_with_its_folders_and_first_lines(journal, path):
    opened = journal.begin([meta()])
    assert opened.created
    assert not opened.replaced
    assert opened.foreign == []
    journal.append([user_line("a"), user_line("b")])
    journal.sync()
    journal.end()
    assert messages(path) == [None, "a", "b"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_append_is_one_write(journal, monkeypatch):
    journal.begin([meta()])
    calls = []
    write = os.write

    def counted(fd, data):
        calls.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", counted)
    journal.append([user_line("a"), user_line("b"), user_line("c")])
    assert len(calls) == 1
    assert calls[0].count(b"\n") == 3


def test_nothing_is_held_between_turns(journal, path):
    journal.begin([meta()])
    journal.end()
    open_files = [os.path.realpath(f"/dev/fd/{fd}") for fd in os.listdir("/dev/fd")]
    assert not [name for name in open_files if name.startswith(str(path.parents[2]))]
    with pytest.raises(JournalError, match="not open"):
        journal.append([user_line("a")])


def test_lines_appended_before_the_end_can_be_synced_after_it(journal, path, monkeypatch):
    journal.begin([meta()])
    journal.sync()
    journal.append([user_line("a")])
    journal.end()
    synced = []
    monkeypatch.setattr("spindle.storage.rollout.journal.sync_data", lambda fd: synced.append(os.fstat(fd).st_ino))
    journal.sync()
    journal.sync()
    assert synced == [path.stat().st_ino]
    journal.begin()
    journal.append([user_line("b")])
    journal.end()
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(JournalError, match="cannot sync"):
        journal.sync()


def test_a_failed_sync_stays_failed_after_the_end(journal, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "the disk is broken")

    journal.begin([meta()])
    with monkeypatch.context() as patch:
        patch.setattr("spindle.storage.rollout.journal.sync_data", fail)
        with pytest.raises(JournalError, match="the disk is broken"):
            journal.sync()
    journal.end()
    with pytest.raises(JournalError, match="the disk is broken"):
        journal.sync()
    journal.begin()
    journal.sync()


def test_cut_at_every_byte_only_the_cut_line_is_lost(tmp_path):
    whole = [meta(), user_line("one"), user_line("zwei \u2028 é"), user_line("three")]
    data = b"".join(whole)
    ends = [0]
    for line in whole:
        ends.append(ends[-1] + len(line))
    for cut in range(len(data) + 1):
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(data[:cut])
        # a line without only its newline is whole
        kept = sum(end - 1 <= cut for end in ends[1:])
        torn = 0 if cut in ends or cut + 1 in ends else cut - ends[kept]
        journal = Journal(path, tmp_path / "lock")
        opened = journal.begin([user_line("after")])
        journal.end()
        assert opened.torn == torn
        assert lines(path)[:-1] == whole[:kept]
        aside = tmp_path / f"{cut}.jsonl.torn"
        assert (aside.read_bytes()[:-1] if aside.exists() else b"") == data[cut - torn : cut]
        loaded = load(path)
        assert loaded.skipped == 0
        shown = [item["content"][0]["text"] for turn in unstructure(loaded.replay.turns()) for item in turn["items"]]
        assert shown == [*["one", "zwei \u2028 é", "three"][: max(0, kept - 1)], "after"]


def test_a_long_torn_line_is_found_across_blocks(journal, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(meta() + user_line("a") + b'{"torn' + b"x" * 300_000)
    assert journal.begin([user_line("b")]).torn == 300_006
    assert messages(path) == [None, "a", "b"]


def test_zeros_left_by_a_power_cut_are_removed(journal, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(meta() + b"\0" * 100)
    assert journal.begin([user_line("b")]).torn == 100
    assert messages(path) == [None, "b"]


def test_lines_of_others_are_reported(journal, path):
    journal.begin([meta()])
    journal.end()
    assert journal.begin([user_line("a")]).foreign == []
    journal.end()
    with open(path, "ab") as other:
        other.write(user_line("x") + b"\n" + user_line("y") + b'{"torn')
    opened = journal.begin([user_line("b")])
    assert opened.foreign == [user_line("x")[:-1], user_line("y")[:-1]]
    assert (opened.replaced, opened.torn) == (False, 6)
    journal.end()
    assert messages(path) == [None, "a", "x", "y", "b"]


def test_lines_added_after_the_read_are_foreign(journal, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(meta() + user_line("a")[:-1])
    loaded = load(path)
    with open(path, "ab") as other:
        other.write(b"\n" + user_line("x"))
    journal.expect(loaded.end, loaded.inode)
    assert journal.begin().foreign == [user_line("x")[:-1]]


def test_a_line_that_was_incomplete_during_the_read_is_foreign(journal, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(meta() + user_line("half")[:20])
    loaded = load(path)
    assert loaded.skipped == 1
    with open(path, "ab") as other:
        other.write(user_line("half")[20:])
    journal.expect(loaded.end, loaded.inode)
    assert journal.begin().foreign == [(meta() + user_line("half"))[loaded.end : -1]]


def test_a_truncated_or_replaced_file_is_reported(journal, path):
    journal.begin([meta(), user_line("a")])
    journal.end()
    path.write_bytes(meta())
    assert journal.begin().replaced
    journal.end()
    other = path.with_suffix(".new")
    other.write_bytes(meta() + user_line("b"))
    other.rename(path)
    assert journal.begin().replaced
    journal.end()
    assert not journal.begin().replaced


def test_a_writer_that_ignores_the_lock_makes_the_file_count_as_replaced(journal, path):
    journal.begin([meta()])
    with open(path, "ab") as other:
        other.write(user_line("x"))
    journal.append([user_line("a")])
    journal.end()
    assert journal.begin().replaced
    assert messages(path) == [None, "x", "a"]


def ordinals(path):
    return [line.ordinal for line in decoded(path)]


def test_numbered_files_stay_numbered(journal, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_line("session_meta", {"id": THREAD}, None, 0) + encode_line("event_msg", {}, None, 1))
    journal.begin([user_line("a"), encode_line("event_msg", {}, None, 3)])
    journal.append([user_line("b")])
    journal.end()
    journal.begin([user_line("c")])
    assert ordinals(path) == [0, 1, 2, 3, 4, 5]
    assert messages(path)[-1] == "c"


def test_numbering_continues_after_unnumbered_lines(journal, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_line("session_meta", {"id": THREAD}, None, 0) + user_line("by an older program"))
    journal.begin([user_line("a")])
    assert ordinals(path) == [0, None, 1]


def test_unnumbered_files_stay_unnumbered(journal, path):
    journal.begin([meta()])
    journal.end()
    journal.begin([user_line("a")])
    assert ordinals(path) == [None, None]


def test_a_failed_write_refuses_further_ones_until_begun_again(journal, path, monkeypatch):
    journal.begin([meta()])

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalError, match="No space left"):
            journal.append([user_line("lost")])
    with pytest.raises(JournalError, match="after a failure"):
        journal.append([user_line("refused")])
    with pytest.raises(JournalError, match="after a failure"):
        journal.sync()
    journal.end()
    opened = journal.begin([user_line("a")])
    assert (opened.foreign, opened.replaced) == ([], True)  # the writer does not know the content of the file any more
    assert messages(path) == [None, "a"]
    journal.end()
    assert not journal.begin().replaced


def test_a_short_write_is_undone(journal, path, monkeypatch):
    journal.begin([meta()])
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
        with pytest.raises(JournalError, match="only 10 of"):
            journal.append([user_line("lost")])
    assert path.read_bytes() == lines(path)[0]
    with pytest.raises(JournalError, match="after a failure"):
        journal.append([user_line("refused")])


def test_a_failed_sync_refuses_everything_after_it(journal, monkeypatch):
    journal.begin([meta()])

    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken, raising=False)
        patch.setattr(os, "fsync", broken)
        with pytest.raises(JournalError, match="Input/output error"):
            journal.sync()
    with pytest.raises(JournalError, match="after a failure"):
        journal.sync()
    with pytest.raises(JournalError, match="after a failure"):
        journal.append([user_line("a")])


def test_if_the_file_cannot_be_opened_the_lock_is_released(tmp_path):
    (tmp_path / "r.jsonl").mkdir()
    with pytest.raises(JournalError, match="cannot open"):
        Journal(tmp_path / "r.jsonl", tmp_path / "lock").begin()
    other = Journal(tmp_path / "other.jsonl", tmp_path / "lock")
    other.begin()
    other.end()


def test_a_failed_begin_keeps_the_foreign_lines(journal, path, monkeypatch):
    journal.begin([meta()])
    journal.end()
    with open(path, "ab") as other:
        other.write(user_line("x"))

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalError, match="No space left"):
            journal.begin([user_line("lost")])
    assert not journal.is_open
    assert journal.begin().foreign == [user_line("x")[:-1]]


def test_beginning_twice_is_refused(journal):
    journal.begin()
    with pytest.raises(JournalError, match="open already"):
        journal.begin()
    journal.append([meta()])


@pytest.fixture
def on_a_disk(monkeypatch):
    if sys.platform != "linux":
        pytest.skip("elsewhere a local disk is not recognized")
    monkeypatch.setattr(os, "major", lambda device: 8)


def leave(journal, *texts):
    journal.begin([meta()])
    journal.append([user_line(text) for text in texts])
    journal.end()


@pytest.mark.usefixtures("on_a_disk")
@pytest.mark.parametrize("numbered", [False, True])
def test_a_file_that_was_left_a_moment_ago_is_opened_at_once(path, tmp_path, numbered):
    journal = Journal(path, tmp_path / "lock", numbered=numbered)
    leave(journal, "a")
    assert journal.begin_at_once()
    journal.append([user_line("b")])
    journal.sync()
    with pytest.raises(WriterBusy):
        Journal(path, tmp_path / "lock").begin()
    assert not journal.begin_at_once()
    journal.end()
    assert journal.begin_at_once()
    journal.end()
    assert messages(path) == [None, "a", "b"]
    assert [line.ordinal for line in decoded(path)] == ([0, 1, 2] if numbered else [None] * 3)
    assert (tmp_path / "lock").read_text().strip() == ""
    other = Journal(path, tmp_path / "lock")
    assert not other.begin().foreign
    other.end()


def appended_by_another(path, lock, patch):
    with open(path, "ab") as other:
        other.write(user_line("x"))


def replaced(path, lock, patch):
    content = path.read_bytes()
    path.rename(path.with_name("earlier"))
    path.write_bytes(content)


def removed(path, lock, patch):
    path.unlink()


def without_a_lock_file(path, lock, patch):
    lock.unlink()


def long_ago(path, lock, patch):
    now = time.monotonic() + FRESH
    patch.setattr(time, "monotonic", lambda: now)


OBSTACLES = (appended_by_another, replaced, removed, without_a_lock_file, long_ago)


@pytest.mark.usefixtures("on_a_disk")
@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda obstacle: obstacle.__name__)
def test_what_is_not_as_it_was_left_is_not_opened_at_once(journal, path, tmp_path, monkeypatch, obstacle):
    leave(journal, "a")
    lock = tmp_path / "locks" / f"{THREAD}.lock"
    with monkeypatch.context() as patch:
        obstacle(path, lock, patch)
        assert not journal.begin_at_once()
    assert not journal.is_open
    if obstacle is not removed:
        other = Journal(path, lock)
        other.begin()
        other.end()
        opened = journal.begin()
        assert opened.foreign == ([user_line("x")[:-1]] if obstacle is appended_by_another else [])
        assert opened.replaced is (obstacle is replaced)


@pytest.mark.usefixtures("on_a_disk")
@pytest.mark.parametrize("name", ["t.lock", ".coordination.lock"])
def test_a_lock_that_another_holds_is_not_waited_for_when_opening_at_once(path, tmp_path, name):
    journal = Journal(path, tmp_path / "locks" / "t.lock")
    leave(journal)
    with open(tmp_path / "locks" / name, "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not journal.begin_at_once()
    assert journal.begin_at_once()
    journal.end()


@pytest.mark.usefixtures("on_a_disk")
def test_after_a_failed_write_the_file_is_not_opened_at_once(journal, path, monkeypatch):
    leave(journal)
    assert journal.begin_at_once()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: 1)
        with pytest.raises(JournalError, match="only 1 of"):
            journal.append([user_line("a")])
    journal.end()
    assert not journal.begin_at_once()


def test_a_file_of_a_network_file_system_is_not_opened_at_once(journal, monkeypatch):
    monkeypatch.setattr(os, "major", lambda device: 0)
    leave(journal)
    assert not journal.begin_at_once()
