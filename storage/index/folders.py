"""Detect changes by other programs: list folders again whose time changed, and read the times of files.

A folder's modification time changes when a file is added, removed or renamed. Appending to a file changes only that
file's time.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from spindle.rpc.lazy_class import frozen
from spindle.storage.index.rows import (
    UNREAD,
    Known,
    Values,
    insert,
    read_row,
    replace,
    stored_git,
    supersede,
    threads_of,
)
from spindle.storage.threads.locate import rollout_names
from spindle.storage.threads.thread_errors import is_passing

_ARCHIVE = "archived_sessions"
_DIGITS = (4, 2, 2)
"""Lengths of the names of years, months and days."""

_GRAIN = 100_000_000
"""Nanoseconds within which two changes of a folder may give it the same time."""

_UNLISTED = -1
"""Replaces a folder's time: the folder must be listed again."""

BATCH = 64
"""The most rows written in one transaction."""

Check = Callable[[], object]


@frozen
class Difference:
    """A changed folder: its new rollouts, and the rows of its deleted files."""

    id: int
    path: str
    mtime_ns: int
    new: Sequence[str]
    removed: Sequence[int]


class Folders:
    """The folders of rollouts in one home, as one connection sees them."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._known: dict[str, tuple[int, int]] = {}
        self._children: dict[str, list[str]] = {}
        self._version = (0, 0)

    def changed(self, db: sqlite3.Connection, epoch: int) -> Iterator[Difference]:
        """The differences from the rows, newest folders first, the archive last. `epoch` distinguishes connections.

        Rows of folders that no longer exist are removed at once.
        """
        self._refresh(db, epoch)
        leaves: list[tuple[str, int]] = []
        self._walk(db, "sessions", 0, leaves)
        leaves.sort(reverse=True)
        self._walk(db, _ARCHIVE, len(_DIGITS), leaves)
        for path, mtime_ns in leaves:
            id = self._known[path][0]
            there = rollout_names(self._list(path))
            rows = dict(db.execute("SELECT file, id FROM threads WHERE folder = ?", (id,)))
            new = sorted((name for name in there if name not in rows), reverse=True)
            removed = [row for name, row in rows.items() if name not in there]
            yield Difference(id, path, mtime_ns, new, removed)

    def settle(self, db: sqlite3.Connection, difference: Difference, check: Check | None = None) -> Iterator[int]:
        """Update the rows of a folder; yields the number of files read in each step."""
        names = iter(difference.new)
        while batch := list(islice(names, BATCH)):
            rows: list[Values | None] = []
            for file in batch:
                if check is not None:
                    check()
                rows.append(read_row(self._home, difference.id, difference.path, file))
            found = [row for row in rows if row is not None]
            with transaction(db):
                insert(db, found)
                supersede(db, {row[2] for row in found})
            yield len(batch)
        young = time.time_ns() - difference.mtime_ns < _GRAIN
        mtime_ns = _UNLISTED if young else difference.mtime_ns
        if not difference.new and not difference.removed and self._known.get(difference.path) == (difference.id, mtime_ns):
            return
        with transaction(db):
            left = threads_of(db, "id", difference.removed)
            db.executemany("DELETE FROM threads WHERE id = ?", [(id,) for id in difference.removed])
            supersede(db, left)
            db.execute("UPDATE folders SET mtime_ns = ? WHERE id = ?", (mtime_ns, difference.id))
        self._known[difference.path] = (difference.id, mtime_ns)

    def paths(self) -> list[tuple[int, str]]:
        """The known folders of rollouts, newest first: ids and paths below the home."""
        leaves = [path for path in self._known if path == _ARCHIVE or path.count("/") == len(_DIGITS)]
        return [(self._known[path][0], path) for path in sorted(leaves, reverse=True)]

    def _refresh(self, db: sqlite3.Connection, epoch: int) -> None:
        version = (epoch, db.execute("PRAGMA data_version").fetchone()[0])
        if version != self._version:
            self._known, self._children = {}, {}
            for id, path, mtime_ns in db.execute("SELECT id, path, mtime_ns FROM folders"):
                self._remember(path, id, mtime_ns)
            self._version = version

    def _remember(self, path: str, id: int, mtime_ns: int) -> None:
        if path not in self._known:
            self._children.setdefault(path.rpartition("/")[0], []).append(path)
        self._known[path] = (id, mtime_ns)

    def _walk(self, db: sqlite3.Connection, path: str, depth: int, leaves: list[tuple[str, int]]) -> None:
        try:
            mtime_ns = os.stat(f"{self._home}{os.sep}{path}").st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            self._forget(db, path)
            return
        known = self._known.get(path)
        if depth == len(_DIGITS):
            if known is None:
                self._add(db, [path])
            if known is None or known[1] != mtime_ns:
                leaves.append((path, mtime_ns))
            return
        if known is None or known[1] != mtime_ns:
            digits = _DIGITS[depth]
            children = [f"{path}/{n}" for n in self._list(path) if len(n) == digits and n.isdecimal()]
            self._add(db, [p for p in (path, *children) if p not in self._known])
            if time.time_ns() - mtime_ns >= _GRAIN:
                db.execute("UPDATE folders SET mtime_ns = ? WHERE path = ?", (mtime_ns, path))
                self._known[path] = (self._known[path][0], mtime_ns)
        for child in list(self._children.get(path, ())):
            self._walk(db, child, depth + 1, leaves)

    def _list(self, path: str) -> list[str]:
        try:
            return os.listdir(f"{self._home}{os.sep}{path}")
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _add(self, db: sqlite3.Connection, paths: Sequence[str]) -> None:
        with transaction(db):
            db.executemany(
                "INSERT OR IGNORE INTO folders(path, mtime_ns) VALUES(?, ?)", [(path, _UNLISTED) for path in paths]
            )
        for path in paths:  # unlisted, even if another connection has added and listed it: what is below it is not known here
            (id,) = db.execute("SELECT id FROM folders WHERE path = ?", (path,)).fetchone()
            self._remember(path, id, _UNLISTED)

    def _forget(self, db: sqlite3.Connection, path: str) -> None:
        removed = [(id, p) for p, (id, _) in self._known.items() if p == path or p.startswith(path + "/")]
        if not removed:
            return
        with transaction(db):
            left = threads_of(db, "folder", [id for id, _ in removed])
            db.executemany("DELETE FROM threads WHERE folder = ?", [(id,) for id, _ in removed])
            supersede(db, left)
            db.executemany("DELETE FROM folders WHERE id = ?", [(id,) for id, _ in removed])
        for _, p in removed:
            del self._known[p]
            self._children[p.rpartition("/")[0]].remove(p)


def verify(home: Path, rows: Sequence[Known], *, unread: bool = False) -> list[Known]:
    """The rows whose file was deleted or changed after the row was written; with `unread`, also those never read.

    Raises OSError if that cannot be found out.
    """
    out: list[Known] = []
    for known in rows:
        try:
            stat = os.stat(f"{home}{os.sep}{known.folder}{os.sep}{known.file}")
        except OSError as error:
            if is_passing(error):
                raise
            out.append(known)
            continue
        same = not unread if known.size == UNREAD else stat.st_size == known.size
        if stat.st_mtime_ns != known.mtime_ns or not same:
            out.append(known)
    return out


def correct(db: sqlite3.Connection, home: Path, rows: Sequence[Known]) -> None:
    """Read files again and correct their rows."""
    for start in range(0, len(rows), BATCH):
        fresh: list[tuple[Known, Values | None]] = []
        for known in rows[start : start + BATCH]:
            row = db.execute("SELECT folder, head, size FROM threads WHERE id = ?", (known.id,)).fetchone()
            if row is not None:
                before = None if row[1] is None else (row[2], stored_git(row[1]))
                fresh.append((known, read_row(home, row[0], known.folder, known.file, before)))
        with transaction(db):
            corrected = threads_of(db, "id", [known.id for known, _ in fresh])
            for known, row in fresh:
                replace(db, known, row)
            supersede(db, corrected)


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """Commit all writes of the block, or none."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
