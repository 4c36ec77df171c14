"""Damaged rollouts: the shown turns, the model's history, and the file after the next writer."""

import errno
import os

import orjson
import pytest

from spindle.rpc.protocol.converter import unstructure
from spindle.storage.rollout.journal import Journal, JournalError
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.load import load
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout

THREAD = "00000000-0000-7000-8000-000000000001"


def event(kind, **members):
    return encode_line("event_msg", {"type": kind, **members})


def item(role, text):
    return encode_line(
        "response_item", {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
    )


def turn(id, text, answer):
    return [
        event("task_started", turn_id=id, started_at=1),
        encode_line("turn_context", {"turn_id": id, "cwd": "/"}),
        item("user", text),
        event("user_message", message=text, images=[], local_images=[], text_elements=[]),
        event("agent_message", message=answer, phase=None, memory_citation=None),
        item("assistant", answer),
        event("task_complete", turn_id=id, last_agent_message=answer, completed_at=2, duration_ms=3),
    ]


META = encode_line("session_meta", {"id": THREAD, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/"})
FIRST, SECOND = turn("t1", "one 🙂", "eins\u2028zwei"), turn("t2", "two", "zwei")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rollout.jsonl"


def read(path):
    """(id, status, texts) of each turn; the texts of the history; the number of unreadable lines."""
    with OpenRollout(path, Outliner()) as rollout:
        turns = list(rollout.turns(range(len(rollout.outline.ids))))
        assert turns == orjson.loads(orjson.dumps(unstructure(load(path).replay.turns())))
        shown = [(body["id"], body["status"], [text_of(entry) for entry in body["items"]]) for body in turns]
        history = [orjson.loads(entry.json)["content"][0]["text"] for entry in rollout.replay().history]
        return shown, history, rollout.outline.skipped


def text_of(entry):
    return entry["text"] if "text" in entry else "".join(part["text"] for part in entry["content"])


WHOLE = [("t1", "completed", ["one 🙂", "eins\u2028zwei"]), ("t2", "completed", ["two", "zwei"])]
HISTORY = ["one 🙂", "eins\u2028zwei", "two", "zwei"]


def test_a_unicode_line_separator_in_a_text_does_not_split_the_line(path):
    path.write_bytes(b"".join([META, *FIRST, *SECOND]))
    assert "\u2028".encode() in path.read_bytes()
    assert read(path) == (WHOLE, HISTORY, 0)


@pytest.mark.parametrize("place", range(14))
def test_half_a_record_before_a_record_is_skipped(path, place):
    lines = [*FIRST, *SECOND]
    for cut in range(1, len(lines[place]) - 2, 1 if place in (1, 3) else 11):
        path.write_bytes(b"".join([META, *lines[:place], lines[place][:cut], *lines[place:]]))
        assert read(path) == (WHOLE, HISTORY, 0)


@pytest.mark.parametrize("place", range(13))
def test_with_a_missing_newline_both_records_are_read(path, place):
    lines = [*FIRST, *SECOND]
    lines[place] = lines[place].removesuffix(b"\n")
    path.write_bytes(b"".join([META, *lines]))
    assert read(path) == (WHOLE, HISTORY, 0)


@pytest.mark.parametrize("place", range(14))
def test_zeros_before_a_record_are_skipped(path, place):
    lines = [*FIRST, *SECOND]
    path.write_bytes(b"".join([META, *lines[:place], b"\0" * 4096, *lines[place:]]))
    assert read(path) == (WHOLE, HISTORY, 0)


def test_invalid_utf_8_is_replaced(path):
    path.write_bytes(b"".join([META, *FIRST, *SECOND]).replace(b"two", b"t\xff\xfeo"))
    turns, history, skipped = read(path)
    assert turns[1] == ("t2", "completed", ["t\ufffd\ufffdo", "zwei"])
    assert history[2] == "t\ufffd\ufffdo"
    assert skipped == 0


def test_garbage_in_the_middle_costs_only_its_line(path):
    path.write_bytes(b"".join([META, *FIRST, b"\x01\x02 garbage\n", b'{"no":"line"}\n', b"\n", *SECOND]))
    assert read(path) == (WHOLE, HISTORY, 2)


@pytest.mark.parametrize("kind", [["token_count"], {"a": 1}, 5, None])
def test_an_event_whose_type_is_not_a_string_is_ignored(path, kind):
    path.write_bytes(b"".join([META, *FIRST, event(kind), *SECOND]))
    assert read(path) == (WHOLE, HISTORY, 0)


def test_a_record_that_is_there_twice_is_shown_twice_and_numbered_apart(path):
    path.write_bytes(b"".join([META, *FIRST, *SECOND[:4], SECOND[3], *SECOND[4:]]))
    turns, _, _ = read(path)
    assert turns[1][2] == ["two", "two", "zwei"]
    with OpenRollout(path, Outliner()) as rollout:
        (body,) = rollout.turns([1])
    assert [entry["id"] for entry in body["items"]] == ["item-3", "item-4", "item-5"]


def test_two_turns_of_one_id_are_two_turns(path):
    path.write_bytes(b"".join([META, *FIRST, *[line.replace(b"t2", b"t1") for line in SECOND]]))
    assert [entry[0] for entry in read(path)[0]] == ["t1", "t1"]


def test_an_unreadable_event_does_not_renumber_the_others(path):
    broken = FIRST[4].replace(b'"phase":null', b'"phase":nul1')  # starts and ends correctly
    path.write_bytes(b"".join([META, *FIRST[:4], broken, *FIRST[5:], *SECOND]))
    turns, history, _ = read(path)
    assert turns[0][2] == ["one 🙂", "…"]
    assert history == HISTORY


@pytest.mark.parametrize("line", range(15))
def test_cut_at_any_byte_resumed_appended_to_and_resumed_again(tmp_path, line):
    lines = [META, *FIRST, *SECOND]
    start = sum(len(before) for before in lines[:line])
    whole = b"".join(lines)
    for cut in range(max(start, len(META)), start + len(lines[line]) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        check_cut(folder, whole[:cut])


def check_cut(folder, data):
    path, third = folder / "rollout.jsonl", turn("t3", "three", "drei")
    path.write_bytes(data)
    kept = data.split(b"\n")
    last = kept.pop()
    lines = [line + b"\n" for line in kept] + ([last + b"\n"] if decode_line(last) else [])
    torn = bool(last) and not decode_line(last)

    clean = folder / "clean.jsonl"
    clean.write_bytes(b"".join(lines))
    expected = read(clean)
    assert read(path) == (*expected[:2], int(torn))

    with OpenRollout(path, Outliner()) as rollout:
        journal = Journal(path, folder / "lock")
        journal.expect(rollout.end, rollout.outline.inode)
    opened = journal.begin()
    assert (opened.foreign, opened.replaced, opened.torn) == ([], False, len(last) if torn else 0)
    journal.append(third)
    journal.end()

    assert path.read_bytes() == b"".join([*lines, *third])
    turns, history, skipped = read(path)
    assert turns == [*expected[0], ("t3", "completed", ["three", "drei"])]
    assert history == [*expected[1], "three", "drei"]
    assert skipped == 0


def begun(path):
    journal = Journal(path, path.with_name("lock"))
    journal.begin([META])
    journal.append(FIRST)
    return journal


def test_a_rollout_removed_between_turns_is_not_created_again(path):
    journal = begun(path)
    journal.end()
    path.unlink()
    with pytest.raises(JournalError, match="is gone: another program has moved or removed it"):
        journal.begin()
    assert not path.exists()


def test_a_rollout_removed_while_it_is_written_is_an_error(path):
    journal = begun(path)
    path.unlink()
    with pytest.raises(JournalError, match="removed it while it was written"):
        journal.sync()
    with pytest.raises(JournalError):
        journal.append(SECOND)
    journal.end()


def test_a_full_disk_keeps_whole_lines_only(path, monkeypatch):
    journal = begun(path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
    with pytest.raises(JournalError):
        journal.append(SECOND)
    monkeypatch.undo()
    journal.end()
    assert path.read_bytes() == b"".join([META, *FIRST])


def test_a_full_disk_leaves_no_file_without_its_first_line(path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = Journal(path, path.with_name("lock"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalError, match="No space left"):
            journal.begin([META])
    assert not path.exists()
    assert journal.begin([META]).created
    journal.end()


def test_a_torn_line_that_cannot_be_moved_aside_is_not_removed(path, monkeypatch):
    journal = Journal(path, path.with_name("lock"))
    path.write_bytes(torn := b"".join([META, *FIRST])[:-5])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalError, match="No space left"):
            journal.begin([SECOND[0]])
    assert path.read_bytes() == torn
    assert journal.begin().torn


@pytest.mark.parametrize("failing", ["sync", "append"])
def test_after_a_failure_the_file_must_be_read_again(path, monkeypatch, failing):
    journal = begun(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write" if failing == "append" else "fstat", refuse)
        with pytest.raises(JournalError, match="Input/output error"):
            journal.append(SECOND) if failing == "append" else journal.sync()
    journal.end()
    assert journal.begin().replaced
    journal.end()
    path.unlink()
    with pytest.raises(JournalError, match="is gone"):
        journal.begin()


def refuse(*_):
    raise OSError(errno.EIO, "Input/output error")


def test_a_rollout_truncated_while_it_is_written_is_an_error(path):
    journal = begun(path)
    path.write_bytes(META)
    journal.append(SECOND[:1])
    with pytest.raises(JournalError, match="cut it while it was written"):
        journal.sync()
    journal.end()


def test_a_read_error_of_the_disk_is_an_error(path, monkeypatch):
    path.write_bytes(b"".join([META, *FIRST]))
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            OpenRollout(path, Outliner())
    with OpenRollout(path, Outliner()) as rollout:
        patched = pytest.MonkeyPatch()
        patched.setattr(os, "preadv", refuse)
        try:
            with pytest.raises(OSError, match="Input/output error"):
                list(rollout.turns([0]))
        finally:
            patched.undo()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_special_file_is_refused_at_once_for_reading_and_writing(path, make):
    make(path)
    with pytest.raises(OSError, match="Not a regular file"):
        OpenRollout(path, Outliner())
    journal = Journal(path, path.with_name("lock"))
    with pytest.raises(JournalError, match="Not a regular file"):
        journal.begin([META])


def test_a_link_to_nothing_is_not_written_through(path):
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(JournalError, match="No such file"):
        Journal(path, path.with_name("lock")).begin([META])
    assert not path.with_name("elsewhere").exists()


def test_a_folder_at_a_rollouts_path_is_an_error_that_says_so(path):
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        OpenRollout(path, Outliner())
