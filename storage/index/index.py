"""The thread index: lists, searches and look-ups without reading rollouts.

Rows are verified: before a page is returned, folders are checked for changes, and the page's files for theirs. So
changes by other programs are visible at once, and a wrong row is corrected when it is found.

Everything here blocks. `page` and `catch_up` may run at the same time, each in one thread.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from spindle.storage.home import Home
from spindle.storage.index.file import IndexConnection, IndexDamaged, IndexFile, IndexUnavailable
from spindle.storage.index.folders import BATCH, Check, Difference, Folders, correct, verify
from spindle.storage.index.names import Names
from spindle.storage.index.outlines import Outlines, forget_outlines
from spindle.storage.index.pages import recent, select
from spindle.storage.index.rows import ACTIVE, ARCHIVED, UNASKED, ids_of, known_by, known_in, names_of, shown
from spindle.storage.threads.locate import locate_archived, may_have_segments, newest_segment
from spindle.storage.threads.query import ThreadPage, ThreadQuery, page_of

log = logging.getLogger("spindle")

_AT_ONCE = 100
"""A list reads at most so many new rollouts itself; with more, the index must catch up first."""

_NAMES_AT_ONCE = 1 << 18
"""The same, for bytes of names."""

_WATCHED = 300
"""The number of recently changed threads whose files are checked before a list by change."""

_WATCHED_UNASKED = 100
"""The number of recent rollouts without a user message that are read again before a list."""

_ROUNDS = 8
"""How often a page is selected again because of wrong rows."""

_REPORT_EVERY = 5.0
"""Seconds between two log lines of progress."""

Progress = Callable[[int, int], object]
"""Called with the numbers of rollouts read, and to read."""


class ThreadIndex:
    """The index of one home, opened at first use. Any number of processes may share the file."""

    def __init__(self, home: Home) -> None:
        self._home = home.path
        self._file = IndexFile(home)
        self.outlines = Outlines(self._file)
        self._asked, self._filled, self._looked_up = (IndexConnection(self._file) for _ in range(3))
        self._seen, self._filling = Folders(self._home), Folders(self._home)
        self._names, self._names_filling = Names(self._home), Names(self._home)
        self._look_up = threading.Lock()
        self._checked = 0

    def page(self, query: ThreadQuery, watched: Collection[str] = ()) -> ThreadPage | None:
        """A page of threads, or None if the index must catch up first. `watched` are threads that may have changed.

        Raises InvalidCursor, IndexUnavailable, OSError if folders cannot be read.
        """
        with self._asked.use() as db:
            epoch = self._asked.opened
            if not self._names.update(db, epoch, _NAMES_AT_ONCE):
                return None
            new = 0
            differences: list[Difference] = []
            for difference in self._seen.changed(db, epoch):
                new += len(difference.new)
                if new > _AT_ONCE:
                    return None
                differences.append(difference)
            for difference in differences:
                for _ in self._seen.settle(db, difference):
                    pass
            shelf = ARCHIVED if query.archived else ACTIVE
            suspects = recent(db, shelf + UNASKED, "created", _WATCHED_UNASKED)
            if query.by_change:
                suspects += recent(db, shelf, "changed", _WATCHED)
                suspects += ids_of(db, watched)
            if suspects and (wrong := verify(self._home, known_by(db, suspects))):
                correct(db, self._home, wrong)
            return self._select(db, query)

    def _select(self, db: sqlite3.Connection, query: ThreadQuery) -> ThreadPage:
        for left in reversed(range(_ROUNDS)):
            rows = shown(db, select(db, query, query.rows + 1))
            wrong = verify(self._home, [row.known for row in rows])
            if wrong:
                correct(db, self._home, wrong)
                if left:
                    continue
            names = names_of(db, [row.thread_id for row in rows])
            page = [
                (row.place(query.by_change), row.summary(self._home, names, query.default_provider))
                for row in rows[: query.rows]
            ]
            return page_of(page, more=len(rows) > query.rows)
        raise AssertionError("unreachable")

    def prepare(self) -> None:
        """Open the file before the first look-up. Never raises."""
        with contextlib.suppress(IndexUnavailable), self._look_up, self._looked_up.use():
            pass

    def locate(self, thread_id: str) -> Path | None:
        """The path of the rollout of a thread that is not archived, if the index has it.

        The folders show whether the thread was reverted and continues in a newer file. Raises OSError.
        """
        return self._locate(thread_id, archived=False)

    def locate_archived(self, thread_id: str) -> Path | None:
        """The path of the rollout of an archived thread, if the index has it. Raises OSError."""
        return self._locate(thread_id, archived=True)

    def _locate(self, thread_id: str, *, archived: bool) -> Path | None:
        try:
            with self._look_up, self._looked_up.use() as db:
                rows = db.execute(
                    "SELECT f.path, t.file FROM threads t JOIN folders f ON f.id = t.folder "
                    "WHERE t.thread_id = ? AND (f.path = 'archived_sessions') = ? ORDER BY t.file DESC",
                    (thread_id.lower(), archived),
                ).fetchall()
        except IndexUnavailable:
            return None
        paths: list[Path] = [self._home / folder / file for folder, file in rows]
        found = next((path for path in paths if path.exists()), None)
        if found is None or not may_have_segments(found):
            return found
        home = Home(self._home)
        return locate_archived(home, thread_id) if archived else newest_segment(home, found)

    def catch_up(self, check: Check | None = None, progress: Progress | None = None) -> None:
        """Read all new rollouts, and check all known files for changes.

        `check` is called often, and may raise to stop, which leaves the index consistent. Raises IndexUnavailable,
        OSError if folders cannot be read.
        """
        with self._filled.use() as db:
            if self._filled.opened != self._checked:
                _require_sound(db)
                self._checked = self._filled.opened
            self._fill(db, check, progress)
            self._sweep(db, check)

    def _fill(self, db: sqlite3.Connection, check: Check | None, progress: Progress | None) -> None:
        epoch = self._filled.opened
        self._names_filling.update(db, epoch)
        differences = list(self._filling.changed(db, epoch))
        total = sum(len(difference.new) for difference in differences)
        began = reported = time.monotonic()
        done = 0
        if total > _AT_ONCE:
            log.info("indexing %d rollouts", total)
        for difference in differences:
            for read in self._filling.settle(db, difference, check):
                done += read
                if progress is not None:
                    progress(done, total)
                if total > _AT_ONCE and time.monotonic() - reported >= _REPORT_EVERY:
                    reported = time.monotonic()
                    log.info("indexed %d of %d rollouts", done, total)
        if total > _AT_ONCE:
            log.info("indexed %d rollouts in %.1f s", total, time.monotonic() - began)

    def _sweep(self, db: sqlite3.Connection, check: Check | None) -> None:
        for id, _ in self._filling.paths():
            rows = known_in(db, id)
            for start in range(0, len(rows), BATCH):
                if check is not None:
                    check()
                if wrong := verify(self._home, rows[start : start + BATCH], unread=True):
                    correct(db, self._home, wrong)
        forget_outlines(db)

    def close(self) -> None:
        """Close the file. Nothing else may be running."""
        for connection in (self._asked, self._filled, self._looked_up, self.outlines):
            connection.close()
        self._file.close()


def _require_sound(db: sqlite3.Connection) -> None:
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise IndexDamaged(str(verdict))
