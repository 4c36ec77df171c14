"""Rollouts that are compressed, or that continue the bytes of another."""

import pytest
import zstandard

from spindle.storage.rollout.journal import Journal
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.load import load
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.source import Source

A, B, C = (f"00000000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))


def turn(id, text):
    return b"".join(
        [
            encode_line("event_msg", {"type": "task_started", "turn_id": id, "started_at": 1}),
            encode_line("response_item", {"type": "message", "role": "user", "content": [{"text": text}]}),
            encode_line("event_msg", {"type": "user_message", "message": text, "images": []}),
            encode_line("event_msg", {"type": "task_complete", "turn_id": id}),
        ]
    )


def meta(id, **members):
    return encode_line(
        "session_meta", {"id": id, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": f"/{id[-1]}", **members}
    )


def shown(rollout):
    outline = rollout.outline
    return [(body["id"], [item["id"] for item in body["items"]]) for body in rollout.turns(range(len(outline.ids)))]


@pytest.fixture
def files(tmp_path):
    return lambda id: path if (path := tmp_path / f"{id}.jsonl").exists() else None


def base(id, end):
    return {
        "history_mode": "paginated",
        "history_base": {"thread_id": id, "end_ordinal_exclusive": 3, "end_byte_offset": end},
    }


def test_a_compressed_rollout_reads_as_the_plain_one(tmp_path):
    data = meta(A) + turn("t1", "one") + turn("t2", "two")
    plain, compressed = tmp_path / "r.jsonl", tmp_path / "r.jsonl.zst"
    plain.write_bytes(data)
    half = len(data) // 2
    frames = [zstandard.ZstdCompressor().compress(part) for part in (data[:half], data[half:])]
    compressed.write_bytes(b"".join(frames))
    outliner = Outliner()
    with OpenRollout(plain, outliner) as one, OpenRollout(compressed, outliner) as other:
        assert shown(other) == shown(one) == [("t1", ["item-1"]), ("t2", ["item-2"])]
        known = other.outline
    with OpenRollout(compressed, outliner) as again:
        assert again.outline is known
    assert load(compressed).replay.history == load(plain).replay.history


def test_damaged_compression_is_an_error_that_says_so(tmp_path):
    path = tmp_path / "r.jsonl.zst"
    path.write_bytes(b"no such format")
    with pytest.raises(OSError, match="compressed rollout cannot be read"):
        OpenRollout(path, Outliner())


def test_a_fork_continues_the_bytes_that_it_refers_to(tmp_path, files):
    first = meta(A) + turn("t1", "one")
    (tmp_path / f"{A}.jsonl").write_bytes(first + turn("t2", "not in the fork"))
    second = meta(B, forked_from_id=A, **base(A, len(first))) + turn("t3", "three")
    path = tmp_path / f"{B}.jsonl"
    path.write_bytes(second + turn("t4", "not in the fork's fork"))
    (tmp_path / f"{C}.jsonl").write_bytes(meta(C, **base(B, len(second))) + turn("t5", "five"))
    with OpenRollout(path, Outliner(find=files)) as rollout:
        assert shown(rollout) == [("t1", ["item-1"]), ("t3", ["item-2"]), ("t4", ["item-3"])]
        assert rollout.outline.meta_id == B
        own = rollout.payload(rollout.outline.meta)
        assert own is not None
        assert own["cwd"] == "/2"
        assert [b"one" in item.json for item in rollout.replay().history] == [True, False, False]
        end = rollout.end
    assert end == path.stat().st_size
    with OpenRollout(tmp_path / f"{C}.jsonl", Outliner(find=files)) as rollout:
        assert [id for id, _ in shown(rollout)] == ["t1", "t3", "t5"]


def test_a_fork_with_a_missing_source_shows_its_own_lines(tmp_path, files):
    path = tmp_path / f"{B}.jsonl"
    path.write_bytes(meta(B, **base(A, 1000)) + turn("t3", "three"))
    with OpenRollout(path, Outliner(find=files)) as rollout:
        assert shown(rollout) == [("t3", ["item-1"])]


def test_files_that_refer_to_each_other_end(tmp_path, files):
    for one, other in ((A, B), (B, A)):
        (tmp_path / f"{one}.jsonl").write_bytes(meta(one, **base(other, 10_000)) + turn(f"t{one[-1]}", "words"))
    with OpenRollout(tmp_path / f"{A}.jsonl", Outliner(find=files)) as rollout:
        assert shown(rollout)


def test_lines_appended_to_a_fork_are_read(tmp_path, files):
    first = meta(A) + turn("t1", "one")
    (tmp_path / f"{A}.jsonl").write_bytes(first)
    path, outliner = tmp_path / f"{B}.jsonl", Outliner(find=files)
    path.write_bytes(meta(B, **base(A, len(first))))
    with OpenRollout(path, outliner) as rollout:
        journal = Journal(path, tmp_path / "lock")
        journal.expect(rollout.end, rollout.outline.inode)
    opened = journal.begin()
    assert (opened.foreign, opened.replaced) == ([], False)
    journal.append([turn("t2", "two")])
    journal.end()
    with OpenRollout(path, outliner) as rollout:
        assert shown(rollout) == [("t1", ["item-1"]), ("t2", ["item-2"])]


def test_reading_across_the_border_of_two_files(tmp_path, files):
    first = meta(A) + turn("t1", "one")
    (tmp_path / f"{A}.jsonl").write_bytes(first)
    second = meta(B, **base(A, len(first)))
    path = tmp_path / f"{B}.jsonl"
    path.write_bytes(second)
    source = Source(path, files)
    assert source.read(0, source.size) == first + second
    assert source.read(len(first) - 3, len(first) + 3) == first[-3:] + second[:3]
    assert source.read(source.size - 1, source.size + 100) == b"\n"
    source.close()
