"""Archive and unarchive rollouts: one rename inside the home per file of the thread.

The file in force moves last, so that the thread is archived only when all files are. The writer's lock is held
meanwhile: otherwise another process that runs a turn would write into a moved file.
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
"""A move from one path to another."""


def archive(home: Home, thread_id: str) -> Path:
    """Move a thread's files into `archived_sessions/`, without changing names, contents or times; return the rollout's path.

    Raises NoRollout, ArchiveConflict if the archive already has such a file, WriterBusy, OSError.
    """
    return _move_all(home, thread_id, _into_archive)


def check_archive(home: Home, thread_id: str) -> None:
    """Raise the errors of `archive`, as far as they can be known for a thread loaded here. Nothing is moved."""
    _check_free_places(_into_archive(home, thread_id))
    check_free(home.lock_file(thread_id))


def unarchive(home: Home, thread_id: str) -> Path:
    """Move a thread's archived files back below `sessions/`, into the folders of the dates in their names.

    The modification time of the file in force is set to now, so that the thread counts as recently changed; returns its
    path. Raises NoArchivedRollout, ArchiveConflict if a file is already there, WriterBusy, OSError.
    """
    moved = _move_all(home, thread_id, _out_of_archive)
    with suppress(OSError):  # it is moved nevertheless
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
    """Move all files of `find`; return the path of the last one."""
    find(home, thread_id)  # a thread that does not exist gets no lock file
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
            target.rename(source)  # an error must mean that nothing was moved
        raise
