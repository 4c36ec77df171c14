"""Reading a whole rollout, and remembering how far it was read."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from spindle.storage.rollout.lines import decode_line
from spindle.storage.rollout.replay import Replay


@frozen
class Loaded:
    """A replayed rollout.

    `end` is the offset behind the last readable line and `inode` the file's: what `Journal.expect` wants to hear.
    `skipped` counts lines that could not be read, a torn last one included.
    """

    replay: Replay
    end: int
    inode: int
    skipped: int


def load(path: Path) -> Loaded:
    """Replay a rollout from its file. Blocking; memory holds what the replay keeps, not the file.

    Raises OSError.
    """
    replay = Replay()
    offset = skipped = 0
    with open(path, "rb", buffering=1 << 20) as file:
        inode = os.fstat(file.fileno()).st_ino
        for data in file:
            line = decode_line(data)
            if line is not None:
                replay.feed(line)
            elif not data.endswith(b"\n"):
                # torn, or still being written: whoever appends next cuts or completes it
                skipped += 1
                break
            elif not data.isspace():
                skipped += 1
            offset += len(data)
    return Loaded(replay, offset, inode, skipped)
