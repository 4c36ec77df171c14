"""Putting rollouts away and taking them back. Both are one rename inside the home."""

import os
from pathlib import Path

from spindle.storage.home import Home
from spindle.storage.threads.errors import ArchiveConflict, NoArchivedRollout, NoRollout
from spindle.storage.threads.locate import RolloutName, locate, locate_archived


def archive(home: Home, thread_id: str) -> Path:
    """Move a thread's rollout flat into `archived_sessions/`, name, content and times unchanged; return the new path.

    Raises NoRollout, ArchiveConflict if the archive already has that file, OSError.
    """
    path = locate(home, thread_id)
    if path is None:
        raise NoRollout(thread_id)
    return _move(path, home.archived_sessions / path.name)


def unarchive(home: Home, thread_id: str) -> Path:
    """Move an archived rollout back below `sessions/`, into the folder of the date in its name; return the new path.

    The file's modification time becomes now, so that the thread is among the recently changed ones.
    Raises NoArchivedRollout, ArchiveConflict if the file is already there, OSError.
    """
    path = locate_archived(home, thread_id)
    name = RolloutName.parse(path.name) if path is not None else None
    if path is None or name is None:
        raise NoArchivedRollout(thread_id)
    moved = _move(path, home.sessions.joinpath(*name.day, path.name))
    os.utime(moved)
    return moved


def _move(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise ArchiveConflict(target)
    source.rename(target)
    for folder in (target.parent, source.parent):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    return target
