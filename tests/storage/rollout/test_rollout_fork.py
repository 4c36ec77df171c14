"""The file of a fork, byte by byte."""

import errno
import os

import orjson
import pytest

from spindle.storage.rollout.fork import Segment, UnknownTurn, cut, segments, write_fork
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.load import load

META = {"id": "fork", "forked_from_id": "source", "cwd": "/"}


def no_check():
    pass


def event(kind, **members):
    return encode_line("event_msg", {"type": kind, **members})


def turn(id, text):
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return [
        event("task_started", turn_id=id),
        encode_line("response_item", said),
        event("user_message", message=text, images=[], local_images=[], text_elements=[]),
        event("task_complete", turn_id=id, last_agent_message=None),
    ]


def source(path, *lines, id="source", **meta):
    path.write_bytes(b"".join([encode_line("session_meta", {"id": id, **meta}), *lines]))
    return path


def numbered(path, first, *lines, id="source", **meta):
    head = encode_line("session_meta", {"id": id, "history_mode": "paginated", **meta})
    body = [
        {"timestamp": line["timestamp"], "ordinal": first + place, "type": line["type"], "payload": line["payload"]}
        for place, line in enumerate(map(orjson.loads, (head, *lines)))
    ]
    path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in body))
    return path


def fork(tmp_path, parts, meta=META, close=lambda path: [], check=no_check):
    target = tmp_path / "2026" / "11" / "fork.jsonl"
    write_fork(target, meta, parts, close, check)
    return target


def whole(path):
    return segments(path, lambda id: None)


def test_the_lines_of_the_source_follow_byte_for_byte(tmp_path):
    path = source(tmp_path / "s.jsonl", *turn("a", "one"), b"not json\n", *turn("b", "two"))
    made = fork(tmp_path, whole(path), close=lambda path: [event("turn_aborted", turn_id="b")])
    head, _, rest = made.read_bytes().partition(b"\n")
    assert orjson.loads(head)["payload"] == META
    assert rest.startswith(path.read_bytes())
    assert rest[len(path.read_bytes()) :].count(b"\n") == 1
    assert made.stat().st_mode & 0o777 == 0o600
    assert os.listdir(made.parent) == ["fork.jsonl"]


@pytest.mark.parametrize("size", [0, 1, 7, 100_000])
def test_a_torn_last_line_is_skipped_and_one_without_newline_completed(tmp_path, size):
    path = source(tmp_path / "s.jsonl", *turn("a", "one"))
    kept = path.read_bytes()
    path.write_bytes(kept + b'{"timestamp":"' + b"x" * size)
    assert fork(tmp_path, whole(path)).read_bytes().endswith(b"\n" + kept)
    (tmp_path / "2026" / "11" / "fork.jsonl").unlink()
    path.write_bytes(kept.removesuffix(b"\n"))
    assert fork(tmp_path, whole(path)).read_bytes().endswith(b"\n" + kept)


def test_a_numbered_source_is_renumbered_without_its_head(tmp_path):
    path = numbered(tmp_path / "s.jsonl", 40, *turn("a", "one"))
    made = fork(tmp_path, whole(path), META | {"history_mode": "paginated"}, lambda path: [event("turn_aborted")])
    lines = [orjson.loads(line) for line in made.read_bytes().splitlines()]
    assert [line["ordinal"] for line in lines] == [0, 1, 2, 3, 4, 5]
    assert [line["payload"].get("type") for line in lines[1:]] == [
        "task_started", "message", "user_message", "task_complete", "turn_aborted",
    ]  # fmt: skip


def test_a_source_that_refers_to_another_is_copied_with_the_referred_part(tmp_path):
    first = numbered(tmp_path / "first.jsonl", 0, *turn("a", "one"), id="first")
    end = first.stat().st_size
    with open(first, "ab") as file:
        file.writelines(turn("later", "not for the fork"))
    base = {"thread_id": "first", "end_byte_offset": end, "end_ordinal_exclusive": 5}
    second = numbered(tmp_path / "second.jsonl", 5, *turn("b", "two"), id="second", history_base=base)
    base = {"thread_id": "second", "end_byte_offset": second.stat().st_size, "end_ordinal_exclusive": 10}
    third = numbered(tmp_path / "third.jsonl", 10, id="third", history_base=base)
    parts = segments(third, {"first": first, "second": second}.get)
    made = fork(tmp_path, parts, META | {"history_mode": "paginated"})
    assert [shown.id for shown in load(made).replay.turns()] == ["a", "b"]
    with pytest.raises(FileNotFoundError, match="the history of thread first"):
        segments(third, {"second": second}.get)


def test_sources_that_refer_to_each_other_are_an_error(tmp_path):
    path = numbered(tmp_path / "s.jsonl", 0, history_base={"thread_id": "source", "end_byte_offset": 10})
    with pytest.raises(OSError, match="continues others"):
        segments(path, lambda id: path)


def test_a_cut_lies_between_two_turns(tmp_path):
    path = source(tmp_path / "s.jsonl", *turn("a", "one"), event("token_count", info=None), *turn("b", "two"))
    for where, left in (
        ({"last": "a", "before": None}, ["a"]),
        ({"last": "b", "before": None}, ["a", "b"]),
        ({"last": None, "before": "b"}, ["a"]),
        ({"last": None, "before": "a"}, []),
    ):
        [part] = cut(whole(path), no_check, **where)
        data = path.read_bytes()[: part.end]
        assert data.endswith(b"\n")
        assert [id for id in ("a", "b") if b'"turn_id":"%s"' % id.encode() in data] == left
    with pytest.raises(UnknownTurn, match="turn not found: c"):
        cut(whole(path), no_check, last="c", before=None)


def test_a_turn_without_marks_is_cut_before_its_message(tmp_path):
    unmarked = [line for text in ("one", "two") for line in turn("x", text)[1:3]]
    path = source(tmp_path / "s.jsonl", *unmarked)
    first, second = [shown.id for shown in load(path).replay.turns()]
    [part] = cut(whole(path), no_check, last=first, before=None)
    assert path.read_bytes()[: part.end].splitlines(True)[1:] == unmarked[:2]
    assert cut(whole(path), no_check, last=None, before=second) == [part]


def test_a_rolled_back_turn_is_unknown(tmp_path):
    path = source(
        tmp_path / "s.jsonl", *turn("a", "one"), *turn("b", "two"), event("thread_rolled_back", num_turns=1),
        *turn("c", "three"),
    )  # fmt: skip
    with pytest.raises(UnknownTurn):
        cut(whole(path), no_check, last="b", before=None)
    [part] = cut(whole(path), no_check, last=None, before="c")
    assert b"thread_rolled_back" in path.read_bytes()[: part.end]


def test_an_error_leaves_no_file(tmp_path):
    path = source(tmp_path / "s.jsonl", *turn("a", "one"))

    class Cancelled(Exception):
        pass

    def stop(*_):
        raise Cancelled

    for options in ({"check": stop}, {"close": stop}):
        with pytest.raises(Cancelled):
            fork(tmp_path, whole(path), **options)
        assert os.listdir(tmp_path / "2026" / "11") == []
    with pytest.raises(OSError, match="has become shorter"):
        fork(tmp_path, [Segment(path, 0, 10**6)])
    assert os.listdir(tmp_path / "2026" / "11") == []


@pytest.mark.parametrize(("call", "code"), [("write", errno.ENOSPC), ("fsync", errno.EIO), ("rename", errno.EROFS)])
def test_a_disk_that_fails_leaves_no_file(tmp_path, monkeypatch, call, code):
    path = source(tmp_path / "s.jsonl", *turn("a", "one"))

    def fail(*_):
        raise OSError(code, os.strerror(code))

    (tmp_path / "2026" / "11").mkdir(parents=True)  # folders are synced when they are made
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        fork(tmp_path, whole(path))
    assert os.listdir(tmp_path / "2026" / "11") == []


def test_the_work_can_be_stopped_between_blocks(tmp_path):
    path = source(tmp_path / "s.jsonl", *[event("token_count", info={"x": "y" * 1000})] * 3000)
    calls = []
    fork(tmp_path, whole(path), check=lambda: calls.append(1))
    assert len(calls) >= path.stat().st_size // (1 << 20)
