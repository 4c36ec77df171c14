"""Outlines: what a reader of a rollout has noted of it, so that it need not read the whole of it again.

What they hold is the reader's affair; here they are bytes. They are a cache like everything in the index: any of them may
be missing at any time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

from spindle.storage.index.file import IndexConnection, IndexFile, IndexUnavailable
from spindle.storage.index.folders import transaction


class Outlines:
    """One outline per file, told apart by the file's name and its inode: archiving a rollout keeps both.

    Blocks on the disk; may be shared by worker threads.
    """

    def __init__(self, file: IndexFile) -> None:
        self._connection = IndexConnection(file)
        self._mutex = threading.Lock()

    def outline(self, path: str | os.PathLike[str], inode: int | None = None) -> bytes | None:
        """What was kept of a rollout, or None. The file's own inode is taken where none is given. Never raises."""
        try:
            wanted = os.stat(path).st_ino if inode is None else inode
            with self._mutex, self._connection.use() as db:
                row = db.execute("SELECT data FROM outlines WHERE file = ? AND inode = ?", (Path(path).name, wanted))
                found = row.fetchone()
        except (IndexUnavailable, OSError):
            return None
        return found[0] if found is not None else None

    def keep_outline(self, path: str | os.PathLike[str], inode: int, size: int, data: bytes) -> None:
        """Keep `data` as the outline of the first `size` bytes of a rollout, in place of an earlier one.

        Never raises: what cannot be kept is made again when it is needed.
        """
        name = Path(path).name
        try:
            with self._mutex, self._connection.use() as db:
                db.execute(
                    "INSERT OR REPLACE INTO outlines VALUES(?, ?, ?, ?)", (name, inode, size, data)
                )
        except IndexUnavailable:
            return

    def close(self) -> None:
        """Let go of the file."""
        with self._mutex:
            self._connection.close()


def forget_outlines(db: sqlite3.Connection) -> None:
    """Throw away the outlines of files that the index does not know, such as rollouts that were deleted."""
    strange = db.execute("SELECT file, inode FROM outlines WHERE file NOT IN (SELECT file FROM threads)").fetchall()
    if strange:
        with transaction(db):
            db.executemany("DELETE FROM outlines WHERE file = ? AND inode = ?", strange)
