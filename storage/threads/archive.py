"""Putting rollouts away and taking them back: renames inside the home, one for each file of the thread.

The file in force moves last, so that the thread stays on its side of the archive until all of it has moved.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from spindle.storage.home import Home
from spindle.storage.threads.errors import ArchiveConflict, NoArchivedRollout, NoRollout
from spindle.storage.threads.locate import RolloutName, locate_all


def archive(home: Home, thread_id: str) -> Path:
    """Move a thread's files flat into `archived_sessions/`, names, contents and times unchanged; return the rollout's path.

    Raises NoRollout, ArchiveConflict if the archive already has that file, OSError.
    """
    files = locate_all(home, thread_id, archived=False)
    if not files:
        raise NoRollout(thread_id)
    return _move_all([(path, home.archived_sessions / path.name) for path in files])


def unarchive(home: Home, thread_id: str) -> Path:
    """Move a thread's archived files back below `sessions/`, into the folders of the dates in their names.

    The modification time of the one in force becomes now, so that the thread is among the recently changed ones; returns
    its path. Raises NoArchivedRollout, ArchiveConflict if a file is already there, OSError.
    """
    moves = [
        (path, home.sessions.joinpath(*name.day, path.name))
        for path in locate_all(home, thread_id, archived=True)
        if (name := RolloutName.parse(path.name)) is not None
    ]
    if not moves:
        raise NoArchivedRollout(thread_id)
    moved = _move_all(moves)
    os.utime(moved)
    return moved


def _move_all(moves: Sequence[tuple[Path, Path]]) -> Path:
    """Move each file; the path of the last one."""
    for _, target in moves:
        if target.exists():
            raise ArchiveConflict(target)
    for source, target in moves:
        _move(source, target)
    return moves[-1][1]


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    for folder in (target.parent, source.parent):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
