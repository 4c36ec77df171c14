"""Putting rollouts away and taking them back: renames inside the home, one for each file of the thread.

The file in force moves last, so that the thread stays on its side of the archive until all of it has moved. The writer's
lock is held meanwhile: another process that runs a turn would go on writing into a file that is elsewhere.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from spindle.storage.durable import make_folder, sync_folder
from spindle.storage.home import Home
from spindle.storage.rollout.writer_lock import WriterLock, check_free
from spindle.storage.threads.locate import RolloutName, locate_all
from spindle.storage.threads.thread_errors import ArchiveConflict, NoArchivedRollout, NoRollout

Moves: TypeAlias = Sequence[tuple[Path, Path]]
"""From where to where."""


def archive(home: Home, thread_id: str) -> Path:
    """Move a thread's files flat into `archived_sessions/`, names, contents and times unchanged; return the rollout's path.

    Raises NoRollout, ArchiveConflict if the archive already has that file, WriterBusy, OSError.
    """
    return _move_all(home, thread_id, _into_archive)


def check_archive(home: Home, thread_id: str) -> None:
    """Raise what `archive` would, as far as it can be told of a thread that this process has loaded. Nothing is moved."""
    _check_free_places(_into_archive(home, thread_id))
    check_free(home.lock_file(thread_id))


def unarchive(home: Home, thread_id: str) -> Path:
    """Move a thread's archived files back below `sessions/`, into the folders of the dates in their names.

    The modification time of the one in force becomes now, so that the thread is among the recently changed ones; returns
    its path. Raises NoArchivedRollout, ArchiveConflict if a file is already there, WriterBusy, OSError.
    """
    moved = _move_all(home, thread_id, _out_of_archive)
    with suppress(OSError):  # it is back all the same
        os.utime(moved)
    return moved


def _into_archive(home: Home, thread_id: str) -> Moves:
    files = locate_all(home, thread_id, archived=False)
    if not files:
        raise NoRollout(thread_id)
    return [(path, home.archived_sessions / path.name) for path in files]


def _out_of_archive(home: Home, thread_id: str) -> Moves:
    moves = [
        (path, home.sessions.joinpath(*name.day, path.name))
        for path in locate_all(home, thread_id, archived=True)
        if (name := RolloutName.parse(path.name)) is not None
    ]
    if not moves:
        raise NoArchivedRollout(thread_id)
    return moves


def _move_all(home: Home, thread_id: str, find: Callable[[Home, str], Moves]) -> Path:
    """Move each file that `find` finds; the path of the last one."""
    find(home, thread_id)  # a thread that is not there gets no lock file
    lock = WriterLock(home.lock_file(thread_id))
    lock.acquire()
    try:
        moves = find(home, thread_id)
        _check_free_places(moves)
        for source, target in moves:
            _move(source, target)
        return moves[-1][1]
    finally:
        lock.release()


def _check_free_places(moves: Moves) -> None:
    for _, target in moves:
        if target.exists():
            raise ArchiveConflict(target)


def _move(source: Path, target: Path) -> None:
    make_folder(target.parent)
    source.rename(target)
    try:
        for folder in (target.parent, source.parent):
            sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            target.rename(source)  # an error means that nothing was done
        raise
