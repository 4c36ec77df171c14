"""Read a whole rollout, and note how far it was read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from spindle.rpc.lazy_class import frozen
from spindle.storage.rollout import records
from spindle.storage.rollout.heads import read_event
from spindle.storage.rollout.lines import Line, salvage
from spindle.storage.rollout.replay import RolloutReplay
from spindle.storage.rollout.scan import EVENT, Scan
from spindle.storage.rollout.source import Find, Source


@frozen
class Loaded:
    """A replayed rollout.

    `end` is the offset after the last readable line and `inode` the file's inode, both for `Journal.expect`. `skipped`
    counts lines that could not be read, a torn last one included.
    """

    replay: RolloutReplay
    end: int
    inode: int
    skipped: int


def load(path: Path, find: Find | None = None) -> Loaded:
    """Replay a rollout from its file. Blocking; the file is never in memory as a whole.

    `find` locates the file that this one continues. Raises OSError.
    """
    replay = RolloutReplay()
    with closing(Source(path, find)) as source:
        scan = Scan(source, in_full=True)
        skipped = 0
        for found in scan:
            if found.type == EVENT:
                line: Line | None = Line("", records.EVENT_MSG, read_event(found))
            else:
                line = salvage(found.raw)
            if line is None:
                skipped += 1
            else:
                replay.feed(line, found.place)
        return Loaded(replay, scan.end - source.own, source.inode, skipped + scan.skipped)
