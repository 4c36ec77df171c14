"""Reading from a rollout after `rest`: the same turns, or an error that it is another file."""

import os

import pytest
import zstandard

from spindle.storage.rollout import outliner as outliner_module
from spindle.storage.rollout.compressed import inflate
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.source import RolloutChanged

THREAD = "00000000-0000-7000-8000-000000000001"


def turn(id):
    return b"".join(
        [
            encode_line("event_msg", {"type": "task_started", "turn_id": id, "started_at": 1}),
            encode_line("event_msg", {"type": "user_message", "message": f"words of {id}", "images": []}),
            encode_line("event_msg", {"type": "task_complete", "turn_id": id}),
        ]
    )


DATA = encode_line("session_meta", {"id": THREAD, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/"})
DATA += turn("t1") + turn("t2")


def shown(rollout):
    return [(body["id"], body["items"][0]["content"][0]["text"]) for body in rollout.turns([0, 1])]


SHOWN = [("t1", "words of t1"), ("t2", "words of t2")]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / f"rollout-2025-01-05T12-00-00-{THREAD}.jsonl"
    path.write_bytes(DATA)
    return path


def compress(path):
    target = path.with_name(path.name + ".zst")
    target.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    path.unlink()
    return target


@pytest.fixture(params=[False, True], ids=["read", "with-turns"])
def rested(request, path):
    """A rollout after `rest`, with all turns in memory, or not."""
    rollout = OpenRollout(path, Outliner(), with_turns=request.param)
    rollout.close()
    yield rollout
    rollout.close()


def append(path):
    with path.open("ab") as file:
        file.write(turn("t3") + encode_line("event_msg", {"type": "thread_rolled_back", "num_turns": 2}))


def unchanged(path):
    pass


@pytest.mark.parametrize("happens", [append, compress, unchanged])
def test_the_turns_as_of_the_opening_are_read(rested, path, happens):
    happens(path)
    assert shown(rested) == SHOWN


def test_a_compressed_rollout_that_was_decompressed_is_read(path):
    compressed = compress(path)
    rollout = OpenRollout(compressed, Outliner())
    rollout.close()
    inflate(compressed)
    assert shown(rollout) == SHOWN
    rollout.close()


def test_a_rollout_that_was_moved_is_found(path, tmp_path):
    moved = tmp_path / "archived" / path.name
    rollout = OpenRollout(path, Outliner(find=lambda id: moved if id == THREAD else None))
    rollout.close()
    moved.parent.mkdir()
    path.rename(moved)
    assert shown(rollout) == SHOWN
    rollout.close()


def rewrite(path):
    new = path.with_suffix(".new")
    new.write_bytes(DATA)
    new.replace(path)


def cut_off(path):
    os.truncate(path, len(DATA) - 10)


def write_over(path):
    path.write_bytes(DATA.replace(b"t2", b"tx"))


@pytest.mark.parametrize("happens", [rewrite, cut_off, write_over])
def test_a_replaced_rollout_is_not_read(rested, path, happens):
    happens(path)
    with pytest.raises(RolloutChanged, match="has been rewritten"):
        shown(rested)


def test_a_deleted_rollout_is_not_read(rested, path):
    path.unlink()
    with pytest.raises(FileNotFoundError):
        shown(rested)


def test_the_turns_in_memory_are_bounded(path, monkeypatch):
    monkeypatch.setattr(outliner_module, "_PUT_TOGETHER", int(len(DATA) * 2.5))
    outliner = Outliner()

    def opened(number):
        outliner._recent.clear()
        other = path.with_name(f"{number}.jsonl")
        other.write_bytes(DATA)
        return OpenRollout(other, outliner, with_turns=True)

    rollouts = [opened(number) for number in range(3)]
    assert [rollout._turns is not None for rollout in rollouts] == [True, True, False]
    known = OpenRollout(rollouts[2].path, outliner, with_turns=True)  # by its outline, without the turns
    assert [shown(rollout) for rollout in (*rollouts, known)] == [SHOWN] * 4
    for rollout in (*rollouts, *rollouts, known):
        rollout.close()
    again = [opened(number) for number in range(10, 13)]
    assert [rollout._turns is not None for rollout in again] == [True, True, False]
    for rollout in again:
        rollout.close()
