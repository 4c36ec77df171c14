"""Delete threads: all of their files. Blocking."""

import os
from collections.abc import Iterator
from pathlib import Path

from spindle.storage.durable import sync_folder
from spindle.storage.home import Home
from spindle.storage.rollout.writer_lock import WriterLock
from spindle.storage.threads.locate import day_folders
from spindle.storage.threads.names import read_names, record_name
from spindle.storage.threads.thread_errors import NoRollout


def remove(home: Home, thread_id: str, *, missing_ok: bool = False) -> None:
    """Delete a thread's rollout, archived or not, with its segments, torn tails, name and lock.

    The writer's lock is held meanwhile, so that no process writes into a deleted file. Raises NoRollout unless
    `missing_ok`, WriterBusy, OSError; files not deleted before an error stay.
    """
    if not missing_ok and next(_files(home, thread_id), None) is None:
        raise NoRollout(thread_id)
    lock = WriterLock(home.lock_file(thread_id))
    lock.acquire()
    try:
        # the rollout is deleted last: after an interruption, the rest can still be found and deleted
        for path in sorted(_files(home, thread_id), key=lambda path: path.name.endswith(f"{thread_id}.jsonl")):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        if thread_id in read_names(home):
            record_name(home, thread_id, "")
        lock.remove()
    finally:
        lock.release()


def _files(home: Home, thread_id: str) -> Iterator[Path]:
    beginnings = (f"{thread_id}.", f"{thread_id}_")
    for folder in (*day_folders(home.sessions, newest_first=True), home.archived_sessions):
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            # rollout-YYYY-MM-DDTHH-MM-SS-<id>...
            if name.startswith("rollout-") and name.startswith(beginnings, len("rollout-YYYY-MM-DDTHH-MM-SS-")):
                yield folder / name
