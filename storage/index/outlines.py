"""The outlines of rollouts, which save a reader from reading a whole rollout again.

Here they are opaque bytes. They are a cache as all of the index: any may be missing at any time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

from spindle.storage.index.file import IndexConnection, IndexFile, IndexUnavailable
from spindle.storage.index.folders import transaction


class Outlines:
    """One outline per file, by the file's name and inode: archiving a rollout keeps both.

    Blocking; may be shared by worker threads.
    """

    def __init__(self, file: IndexFile) -> None:
        self._connection = IndexConnection(file)
        self._mutex = threading.Lock()

    def outline(self, path: str | os.PathLike[str], inode: int | None = None) -> bytes | None:
        """The outline of a rollout, or None. Without an `inode` the file's is used. Never raises."""
        try:
            wanted = os.stat(path).st_ino if inode is None else inode
            with self._mutex, self._connection.use() as db:
                row = db.execute("SELECT data FROM outlines WHERE file = ? AND inode = ?", (Path(path).name, wanted))
                found = row.fetchone()
        except (IndexUnavailable, OSError):
            return None
        return found[0] if found is not None else None

    def keep_outline(self, path: str | os.PathLike[str], inode: int, size: int, data: bytes) -> None:
        """Store `data` as the outline of the first `size` bytes of a rollout; it replaces an earlier one.

        Never raises: a missing outline is made again when needed.
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
        """Close the file."""
        with self._mutex:
            self._connection.close()


def forget_outlines(db: sqlite3.Connection) -> None:
    """Delete the outlines of files that are not in the index, such as deleted rollouts."""
    strange = db.execute("SELECT file, inode FROM outlines WHERE file NOT IN (SELECT file FROM threads)").fetchall()
    if strange:
        with transaction(db):
            db.executemany("DELETE FROM outlines WHERE file = ? AND inode = ?", strange)
