"""A thread as a row of the index: columns for filters and order, JSON for the rest."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.storage.index.file import IndexDamaged
from spindle.storage.threads.locate import RolloutName
from spindle.storage.threads.query import ALL_KINDS, ListPosition, source_kinds
from spindle.storage.threads.summary import (
    Head,
    StoredGit,
    ThreadSummary,
    parent_of,
    read_head,
    summarize,
    with_later_git,
)
from spindle.storage.threads.thread_errors import StoredThreadError, is_passing

# Trigrams cover so many characters of a first message; longer messages are also compared.
_SEARCHED = 16_384

ACTIVE, ARCHIVED = 0, 1
UNASKED = 2
"""Added to the shelf of rollouts that are not listed: without a user message, or unreadable."""

UNREAD = -1
"""Replaces the size of a file that could not be read when its row was written."""

SUPERSEDED = 4
"""Added to the shelf of files whose thread continues in a newer segment."""

_KINDS = {kind: 1 << bit for bit, kind in enumerate(ALL_KINDS)}

_COLUMNS = (
    "folder, file, thread_id, shelf, created, changed, mtime_ns, size, inode, provider, kinds, cwd, parent, long, "
    "head, preview"
)
_INSERT = f"INSERT OR IGNORE INTO threads({_COLUMNS}) VALUES({', '.join('?' * 16)})"
_SHOWN = "t.id, f.path, t.file, t.thread_id, t.created, t.changed, t.mtime_ns, t.size, t.provider, t.cwd, t.head, t.preview"

Values = tuple[Any, ...]


@frozen
class Known:
    """The facts about a file in the index."""

    id: int
    folder: str
    file: str
    mtime_ns: int
    size: int


@frozen
class Shown:
    """A row of a page."""

    known: Known
    thread_id: str
    created: int
    changed: int
    provider: str | None
    cwd: str
    head: bytes
    preview: str

    def place(self, by_change: bool) -> ListPosition:
        """Its place in that order."""
        return ListPosition(self.changed if by_change else self.created, self.thread_id)

    def summary(self, home: Path, names: dict[str, str], default_provider: str) -> ThreadSummary:
        """The thread. Raises IndexDamaged for an impossible row."""
        try:
            head = _decode(self.head, self.provider, self.cwd, self.preview)
        except (ValueError, TypeError) as error:
            raise IndexDamaged(f"row {self.known.id}: {error}") from error
        path = home / self.known.folder / self.known.file
        return summarize(head, path, self.known.mtime_ns, names.get(head.id), default_provider)


def mask(kinds: Collection[str]) -> int:
    """The kinds of source as bits."""
    return sum({_KINDS[kind] for kind in kinds if kind in _KINDS})


def read_row(
    home: Path, folder_id: int, folder: str, file: str, before: tuple[int, StoredGit | None] | None = None
) -> Values | None:
    """The current row of a file, None if it does not exist or its name is not a rollout's.

    Raises OSError for errors that are not the file's own.

    A file that cannot be read as a thread also has a row, so that it is read again only after a change; one that could
    not be read at all is `UNREAD`, and is tried again later. `before` is its earlier size and repository: only the
    added bytes are searched for a new one.
    """
    name = RolloutName.parse(file)
    path = f"{home}{os.sep}{folder}{os.sep}{file}"
    try:
        if name is None:
            return None
        created = name.millis
        stat = os.stat(path)
        size = stat.st_size
    except (OSError, ValueError) as error:
        if is_passing(error):
            raise
        return None
    try:
        head = read_head(path)
        if before is not None and before[0] <= stat.st_size:
            head = with_later_git(evolve(head, git=before[1]), Path(path), stat.st_size, before[0])
        else:
            head = with_later_git(head, Path(path), stat.st_size)
    except StoredThreadError:
        head = None
    except OSError as error:
        if is_passing(error):
            raise
        head, size = None, UNREAD
    shelf = (ARCHIVED if folder == "archived_sessions" else ACTIVE) + (
        0 if head is not None and head.has_user_message else UNASKED
    )
    place = (folder_id, file, name.thread_id, shelf, created, stat.st_mtime_ns // 1_000_000)
    signature = (stat.st_mtime_ns, size, stat.st_ino)
    if head is None:
        return (*place, *signature, None, 0, None, None, 0, None, None)
    kinds, parent, long = mask(source_kinds(head.source)), parent_of(head.source), len(head.preview) > _SEARCHED
    filters = (head.model_provider, kinds, head.cwd, parent, int(long))
    return (*place, *signature, *filters, _encode(head), head.preview)


def insert(db: sqlite3.Connection, rows: Iterable[Values]) -> None:
    """Add rows, except for files that have one."""
    searchable = _has_search(db)
    for row in rows:
        added = db.execute(_INSERT, row)
        if searchable and added.rowcount == 1 and row[-1]:
            db.execute("INSERT INTO search(rowid, text) VALUES(?, ?)", (added.lastrowid, row[-1][:_SEARCHED]))


def replace(db: sqlite3.Connection, known: Known, row: Values | None) -> None:
    """Replace the row of a file; None for a deleted file."""
    old = db.execute("SELECT preview FROM threads WHERE id = ?", (known.id,)).fetchone()
    if row is not None and old is not None and old[0] == row[-1]:
        assignments = ", ".join(f"{column.strip()} = ?" for column in _COLUMNS.split(","))
        db.execute(f"UPDATE OR REPLACE threads SET {assignments} WHERE id = ?", (*row, known.id))
        return
    # The new id makes the search's entries of the old row invalid.
    db.execute("DELETE FROM threads WHERE id = ?", (known.id,))
    if row is not None:
        insert(db, [row])


def supersede(db: sqlite3.Connection, thread_ids: Collection[str]) -> None:
    """Mark which files of these threads are in force, after their rows changed.

    The names of one thread's files sort by age. Threads without segments need no marks.
    """
    db.execute(_SUPERSEDE, (orjson.dumps(list(thread_ids)).decode(),))


# column 65 of rollout-YYYY-MM-DDTHH-MM-SS-<thread id>_<segment id>.jsonl
_SUPERSEDE = f"""
WITH told AS (
    SELECT t.id, t.shelf, t.shelf % {SUPERSEDED} + {SUPERSEDED} * (
        EXISTS (SELECT 1 FROM threads n WHERE n.thread_id = t.thread_id AND n.shelf % 2 = t.shelf % 2 AND n.file > t.file)
        AND EXISTS (SELECT 1 FROM threads s WHERE s.thread_id = t.thread_id AND substr(s.file, 65, 1) = '_')
    ) AS shelf_now
    FROM threads t WHERE t.thread_id IN (SELECT value FROM json_each(?)))
UPDATE threads SET shelf = (SELECT shelf_now FROM told WHERE told.id = threads.id)
WHERE id IN (SELECT id FROM told WHERE shelf != shelf_now)
"""


def threads_of(db: sqlite3.Connection, column: str, values: Collection[int]) -> list[str]:
    """The threads of the rows with one of these values in a column."""
    return [
        id
        for (id,) in db.execute(
            f"SELECT DISTINCT thread_id FROM threads WHERE {column} IN (SELECT value FROM json_each(?))",
            (orjson.dumps(list(values)).decode(),),
        )
    ]


def _has_search(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'search'").fetchone() is not None


def shown(db: sqlite3.Connection, ids: Sequence[int]) -> list[Shown]:
    """The rows with these ids, in this order; unknown ids are skipped."""
    found = {
        row[0]: row
        for row in db.execute(
            f"SELECT {_SHOWN} FROM threads t JOIN folders f ON f.id = t.folder "
            f"WHERE t.id IN ({', '.join('?' * len(ids))})",
            ids,
        )
    }
    out: list[Shown] = []
    for id in ids:
        if id in found:
            _, folder, file, thread_id, created, changed, mtime_ns, size, *rest = found[id]
            out.append(Shown(Known(id, folder, file, mtime_ns, size), thread_id, created, changed, *rest))
    return out


def known_by(db: sqlite3.Connection, ids: Sequence[int]) -> list[Known]:
    """The facts about the files of these rows, in no order."""
    return [
        Known(*row)
        for row in db.execute(
            "SELECT t.id, f.path, t.file, t.mtime_ns, t.size FROM threads t JOIN folders f ON f.id = t.folder "
            "WHERE t.id IN (SELECT value FROM json_each(?))",
            (orjson.dumps(ids).decode(),),
        )
    ]


def ids_of(db: sqlite3.Connection, thread_ids: Collection[str]) -> list[int]:
    """The rows of these threads; unknown threads have none."""
    return [
        id
        for (id,) in db.execute(
            "SELECT id FROM threads WHERE thread_id IN (SELECT value FROM json_each(?))",
            (orjson.dumps(list(thread_ids)).decode(),),
        )
    ]


def known_in(db: sqlite3.Connection, folder_id: int) -> list[Known]:
    """The facts about all files in a folder."""
    return [
        Known(*row)
        for row in db.execute(
            "SELECT t.id, f.path, t.file, t.mtime_ns, t.size FROM threads t JOIN folders f ON f.id = t.folder "
            "WHERE t.folder = ?",
            (folder_id,),
        )
    ]


def names_of(db: sqlite3.Connection, thread_ids: Sequence[str]) -> dict[str, str]:
    """The names of these threads, for those that have one."""
    marks = ", ".join("?" * len(thread_ids))
    return dict(db.execute(f"SELECT thread_id, name FROM names WHERE thread_id IN ({marks})", thread_ids))


def stored_git(head: bytes | None) -> StoredGit | None:
    """The repository in the `head` column."""
    git = None if head is None else orjson.loads(head)[8]
    return None if git is None else StoredGit(*git)


def _encode(head: Head) -> bytes:
    git = None if head.git is None else [head.git.sha, head.git.branch, head.git.origin_url]
    return orjson.dumps(
        [
            head.id,
            head.session_id,
            head.forked_from_id,
            head.created_at,
            head.cli_version,
            head.source,
            head.agent_nickname,
            head.agent_role,
            git,
            head.originator,
            head.thread_source,
            head.history_mode,
        ]
    )


def _decode(data: bytes, provider: str | None, cwd: str, preview: str) -> Head:
    id, session_id, forked, created_at, version, source, nickname, role, git, *rest = orjson.loads(data)
    originator, thread_source, mode = rest
    return Head(
        id=id,
        session_id=session_id,
        forked_from_id=forked,
        model_provider=provider,
        created_at=created_at,
        cwd=cwd,
        cli_version=version,
        source=source,
        agent_nickname=nickname,
        agent_role=role,
        git=None if git is None else StoredGit(*git),
        preview=preview,
        has_user_message=True,
        originator=originator,
        thread_source=thread_source,
        history_mode=mode,
    )
