"""The files of reverted threads: found, read, archived and deleted together."""

import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from spindle.storage.home import Home
from spindle.storage.rollout.compressed import existing, open_rollout
from spindle.storage.rollout.fork import UnknownTurn
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.writer_lock import WriterBusy, WriterLock
from spindle.storage.threads.archive import archive, unarchive
from spindle.storage.threads.lineage import lineage
from spindle.storage.threads.locate import RolloutName, locate, locate_archived, locate_file
from spindle.storage.threads.removal import remove
from spindle.storage.threads.reverting import CannotRevert, Revert, write_segment
from spindle.storage.threads.thread_errors import ArchiveConflict

THREAD = "01940000-0000-7000-8000-000000000001"
FORK = "01949000-0000-7000-8000-000000000009"
FIRST, SECOND = "01945000-0000-7000-8000-00000000000a", "01947000-0000-7000-8000-00000000000b"

Write = Callable[..., Path]


def turn(id: str, text: str, ordinal: int) -> bytes:
    item = {"type": "UserMessage", "id": str(uuid.uuid4()), "content": [{"type": "text", "text": text}]}
    events = [
        {"type": "task_started", "turn_id": id, "started_at": 1},
        {"type": "item_completed", "thread_id": THREAD, "turn_id": id, "item": item},
        {"type": "task_complete", "turn_id": id},
    ]
    return b"".join(encode_line("event_msg", event, ordinal=ordinal + place) for place, event in enumerate(events))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def write(home: Home) -> Write:
    """One file of a thread: its meta, with the start of its history, and turns (by their text)."""

    def write(
        stamp: str,
        *texts: str,
        segment: str | None = None,
        base: tuple[str, int, int] | None = None,
        id: str = THREAD,
        forked: str | None = None,
    ) -> Path:
        at = base[1] if base else 0
        meta: dict[str, object] = {"id": id, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/", "history_mode": "paginated"}
        if base is not None:
            meta["history_base"] = {"thread_id": base[0], "end_ordinal_exclusive": at, "end_byte_offset": base[2]}
        if forked is not None:
            meta["forked_from_id"] = forked
        data = encode_line("session_meta", meta, ordinal=at)
        for place, text in enumerate(texts):
            data += turn(f"turn-{text}", text, at + 1 + 3 * place)
        path = home.sessions / stamp[:10].replace("-", "/") / f"rollout-{stamp}-{id}{f'_{segment}' if segment else ''}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write


def upto(path: Path, text: str) -> int:
    """The end of the turn with that text."""
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        end += len(line)
        if b"task_complete" in line and f'"turn-{text}"'.encode() in line:
            return end
    raise AssertionError(text)


@pytest.fixture
def chain(write: Write) -> list[Path]:
    """one, two | reverted before two, three, four | reverted before four, five"""
    first = write("2025-01-01T12-00-00", "one", "two")
    second = write("2025-01-02T12-00-00", "three", "four", segment=FIRST, base=(THREAD, 4, upto(first, "one")))
    third = write("2025-01-03T12-00-00", "five", segment=SECOND, base=(FIRST, 8, upto(second, "three")))
    return [first, second, third]


def read(home: Home, path: Path) -> list[str]:
    with OpenRollout(path, Outliner(find=lambda id: locate_file(home, id))) as rollout:
        outline = rollout.outline
        return [body["items"][0]["content"][0]["text"] for body in rollout.turns(range(len(outline.ids)))]


def test_names_of_segments() -> None:
    name = RolloutName.parse(f"rollout-2025-01-02T12-00-00-{THREAD}_{FIRST}.jsonl.zst")
    assert name == RolloutName("2025-01-02T12-00-00", THREAD, FIRST)
    assert name.rollout_id == FIRST
    plain = RolloutName.parse(f"rollout-2025-01-02T12-00-00-{THREAD}.jsonl")
    assert plain is not None
    assert plain.rollout_id == THREAD
    assert plain.age < name.age
    assert RolloutName.parse(f"rollout-2025-01-02T12-00-00-{THREAD}_x.jsonl") is None


def test_the_newest_segment_is_found_and_continues_older_ones(home: Home, chain: list[Path]) -> None:
    assert locate(home, THREAD) == chain[2]
    assert read(home, chain[2]) == ["one", "three", "five"]
    assert read(home, chain[1]) == ["one", "three", "four"]
    assert [locate_file(home, id) for id in (THREAD, FIRST, SECOND)] == chain
    assert locate_file(home, FORK) is None


def test_a_revert_may_skip_a_segment_or_go_to_the_beginning(home: Home, chain: list[Path], write: Write) -> None:
    back = write("2025-01-04T12-00-00", "six", segment=FORK, base=(THREAD, 7, upto(chain[0], "two")))
    assert locate(home, THREAD) == back
    assert read(home, back) == ["one", "two", "six"]
    newer = write("2025-01-05T12-00-00", "seven", segment=str(uuid.uuid4()))
    assert locate(home, THREAD) == newer
    assert read(home, newer) == ["seven"]


def test_of_the_same_second_the_greater_segment_id_is_newer(home: Home, write: Write) -> None:
    write("2025-01-01T12-00-00", "one")
    newer = write("2025-01-01T12-00-00", segment=SECOND)
    write("2025-01-01T12-00-00", segment=FIRST)
    assert locate(home, THREAD) == newer


def test_archiving_moves_all_files_and_touches_only_the_newest(home: Home, chain: list[Path]) -> None:
    for path in chain:
        os.utime(path, (1000, 1000))
    put_away = archive(home, THREAD)
    assert put_away == home.archived_sessions / chain[2].name
    assert sorted(os.listdir(home.archived_sessions)) == [path.name for path in chain]
    assert locate(home, THREAD) is None
    assert locate_archived(home, THREAD) == put_away
    assert read(home, put_away) == ["one", "three", "five"]
    before = time.time()
    assert unarchive(home, THREAD) == chain[2]
    assert [path.stat().st_mtime for path in chain[:2]] == [1000, 1000]
    assert chain[2].stat().st_mtime > before - 5
    assert os.listdir(home.archived_sessions) == []


def test_an_interrupted_archive_can_be_completed(home: Home, chain: list[Path]) -> None:
    home.archived_sessions.mkdir()
    chain[0].rename(home.archived_sessions / chain[0].name)
    assert locate(home, THREAD) == chain[2]
    assert read(home, chain[2]) == ["one", "three", "five"]
    assert read(home, archive(home, THREAD)) == ["one", "three", "five"]


def test_a_conflict_in_the_archive_moves_nothing(home: Home, chain: list[Path]) -> None:
    home.archived_sessions.mkdir()
    (home.archived_sessions / chain[2].name).write_bytes(b"in the way")
    with pytest.raises(ArchiveConflict):
        archive(home, THREAD)
    assert all(path.exists() for path in chain)


def test_deleting_removes_every_segment(home: Home, chain: list[Path], write: Write) -> None:
    other = write("2025-01-03T12-00-00", "other", id=FORK)
    remove(home, THREAD)
    assert [path.exists() for path in [*chain, other]] == [False, False, False, True]


def test_a_fork_of_any_segment_depends_on_the_thread(home: Home, chain: list[Path], write: Write) -> None:
    assert lineage(home, THREAD).dependants == ()
    between = write("2025-01-04T12-00-00", id="01948000-0000-7000-8000-000000000008", forked=THREAD)
    fork = write("2025-01-05T12-00-00", "six", id=FORK, forked=between.stem[-36:], base=(FIRST, 8, upto(chain[1], "three")))
    write("2025-01-06T12-00-00", id=FORK, segment=SECOND[:-1] + "c", forked=between.stem[-36:], base=(FIRST, 8, 9))
    assert lineage(home, THREAD).dependants == (FORK,)
    assert read(home, fork) == ["one", "three", "six"]
    assert lineage(home, FORK).dependants == ()


# -- reverting

NOON = datetime(2025, 1, 9, 12, tzinfo=UTC)


def revert(home: Home, path: Path, before: str | None, now: datetime = NOON) -> Path:
    meta = {"id": THREAD, "cwd": "/", "history_base": "of the file before"}
    more = [encode_line("event_msg", {"type": "x"})]
    return write_segment(home, Revert(THREAD, path, meta, before, more), now, lambda: None)


def head(path: Path) -> tuple[int | None, object]:
    line = decode_line(path.read_bytes().splitlines()[0])
    assert line is not None
    return line.ordinal, line.payload.get("history_base")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_revert_refers_to_the_file_that_holds_the_turn(home: Home, chain: list[Path], compressed: bool) -> None:
    sizes = [path.stat().st_size for path in chain]
    if compressed:
        for path in chain[:2]:
            path.with_name(path.name + ".zst").write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
            path.unlink()
    made = revert(home, chain[2], "turn-three")
    header = chain[2].parent.parent / "02" / chain[1].name
    assert locate(home, THREAD) == made
    assert read(home, made) == ["one"]
    ordinal, base = head(made)
    assert base == {"thread_id": FIRST, "end_ordinal_exclusive": ordinal, "end_byte_offset": len(own_head(header))}
    assert [decode_line(line).ordinal for line in made.read_bytes().splitlines()] == [5, 6]  # type: ignore[union-attr]
    again = revert(home, made, "turn-one")
    assert head(again) == (1, {"thread_id": THREAD, "end_ordinal_exclusive": 1, "end_byte_offset": len(own_head(chain[0]))})
    assert read(home, again) == []
    if not compressed:
        assert [path.stat().st_size for path in chain] == sizes


def own_head(path: Path) -> bytes:
    with open_rollout(existing(path)) as file:
        return file.readline()


def test_a_revert_to_the_start_refers_to_no_file(home: Home, chain: list[Path]) -> None:
    made = revert(home, chain[2], None)
    assert head(made) == (0, None)
    assert read(home, made) == []


def test_a_clock_set_back_does_not_undo_a_revert(home: Home, chain: list[Path]) -> None:
    made = revert(home, chain[2], "turn-five", NOON.replace(year=2020))
    assert locate(home, THREAD) == made
    assert made.name.startswith("rollout-2025-01-03T12-00-01")
    assert read(home, made) == ["one", "three"]


def test_an_impossible_revert_leaves_no_file(home: Home, chain: list[Path], tmp_path: Path) -> None:
    def files() -> list[Path]:
        return sorted(home.sessions.rglob("*.*"))

    before = files()
    with pytest.raises(UnknownTurn):
        revert(home, chain[2], "turn-two")
    with pytest.raises(CannotRevert, match="by another program"):
        revert(home, chain[1], "turn-four")
    elsewhere = tmp_path / "elsewhere" / chain[2].name.replace(SECOND, FORK)
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(chain[2].read_bytes())
    with pytest.raises(CannotRevert, match="cannot be referred to"):
        revert(home, elsewhere, "turn-five")
    lock = WriterLock(home.lock_file(THREAD))
    lock.acquire()
    with pytest.raises(WriterBusy):
        revert(home, chain[2], "turn-five")
    lock.release()
    assert files() == before
    assert locate(home, THREAD) == chain[2]
