"""Compressing the rollouts of threads that have not changed for long. Everything here blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from spindle.storage.home import Home
from spindle.storage.rollout.compressed import deflate, is_compressed
from spindle.storage.rollout.writer_lock import WriterBusy, WriterLock
from spindle.storage.threads.locate import day_folders, rollouts_in

UNCHANGED: Final = 7 * 24 * 3600.0
"""Seconds for which a file has not changed."""


def compressible(home: Home) -> Iterator[tuple[str, Path]]:
    """The thread id and the path of each rollout that may be compressed, archived ones too. Raises OSError."""
    for folder in (*day_folders(home.sessions, newest_first=False), home.archived_sessions):
        for name, path in rollouts_in(folder):
            if _old(Path(path)):
                yield name.thread_id, Path(path)


def compress(home: Home, thread_id: str, path: Path, check: Callable[[], object]) -> bool:
    """Compress one file of a thread that is not loaded; False if another process writes to it or it has changed.

    `check` as in `deflate`. Raises OSError.
    """
    lock = WriterLock(home.lock_file(thread_id))
    try:
        lock.acquire()
    except WriterBusy:
        return False
    try:
        return _old(path) and deflate(path, check)
    finally:
        lock.release()


def _old(path: Path) -> bool:
    try:
        return not is_compressed(path) and os.stat(path).st_mtime < time.time() - UNCHANGED
    except FileNotFoundError:
        return False
