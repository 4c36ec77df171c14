"""The state's file: open it, migrate its schema, word its errors. Everything here blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from spindle.storage.durable import private_database, private_folder
from spindle.storage.state.sections import PINNED
from spindle.storage.state.unavailable import StateUnavailable

_BUSY_SECONDS: Final = 5.0

TABLES: Final = (
    *("placements", "read_states", "goals", "queued", "paused_queues", "attachments", "memberships", "open_turns"),
)
"""The tables with rows of threads."""

_VERSIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE sections (id TEXT PRIMARY KEY, name TEXT NOT NULL, appearance TEXT) WITHOUT ROWID",
        f"INSERT INTO sections (id, name) VALUES ('{PINNED}', 'Pinned')",
        """CREATE TABLE placements (
            thread_id TEXT PRIMARY KEY,
            section_id TEXT NOT NULL REFERENCES sections (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            entered_at INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "CREATE UNIQUE INDEX placements_in_order ON placements (section_id, position)",
        """CREATE TABLE read_states (
            thread_id TEXT PRIMARY KEY,
            unread INTEGER NOT NULL,
            first_unread_turn TEXT,
            last_turn TEXT,
            revision TEXT NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE goals (
            thread_id TEXT PRIMARY KEY,
            objective TEXT NOT NULL,
            status TEXT NOT NULL,
            token_budget INTEGER,
            tokens_used INTEGER NOT NULL DEFAULT 0,
            time_used_ms INTEGER NOT NULL DEFAULT 0,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE queued (
            id TEXT PRIMARY KEY,
            thread_id TEXT NOT NULL,
            position INTEGER NOT NULL,
            submission BLOB NOT NULL,
            turn_id TEXT
        ) WITHOUT ROWID""",
        "CREATE INDEX queued_in_order ON queued (thread_id, position)",
        "CREATE TABLE paused_queues (thread_id TEXT PRIMARY KEY) WITHOUT ROWID",
        """CREATE TABLE attachments (
            id TEXT PRIMARY KEY,
            thread_id TEXT NOT NULL,
            type TEXT NOT NULL,
            identity TEXT NOT NULL,
            payload BLOB NOT NULL,
            created_at INTEGER NOT NULL,
            UNIQUE (thread_id, type, identity)
        ) WITHOUT ROWID""",
        "CREATE INDEX attachments_by_identity ON attachments (type, identity, thread_id)",
        """CREATE TABLE projects (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            roots BLOB NOT NULL,
            metadata BLOB NOT NULL,
            position INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX projects_in_order ON projects (position, id)",
        "CREATE TABLE project_keys (key TEXT PRIMARY KEY, project_id TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE memberships (
            thread_id TEXT PRIMARY KEY,
            project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE
        ) WITHOUT ROWID""",
        "CREATE INDEX memberships_by_project ON memberships (project_id)",
    ),
    (
        """CREATE TABLE open_turns (
            thread_id TEXT PRIMARY KEY,
            turn_id TEXT NOT NULL,
            body BLOB NOT NULL
        )""",
    ),
)
"""The statements of each schema version. Entries are never changed, only added: files of all versions are in use."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the state: create or migrate it. For use by one thread; transactions are explicit.

    Raises StateUnavailable, also for a file of a newer version.
    """
    try:
        private_folder(path.parent)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise unavailable(path, error) from error
    try:
        connection.execute("PRAGMA user_version")  # creates the file
        private_database(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError | sqlite3.Error):
            raise unavailable(path, error) from error
        raise
    return connection


def unavailable(path: Path, error: Exception) -> StateUnavailable:
    """The error for users."""
    return StateUnavailable(f"the thread state in {path} is not available: {error}")


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < len(_VERSIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # another process may have migrated it while we waited
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for statements in _VERSIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            if version < len(_VERSIONS):
                connection.execute(f"PRAGMA user_version = {len(_VERSIONS)}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    if version > len(_VERSIONS):
        raise StateUnavailable(
            f"the thread state was written by a newer version: its format is {version}, this one knows {len(_VERSIONS)}"
        )


def forget_threads(connection: sqlite3.Connection, thread_ids: Sequence[str]) -> None:
    """Delete all rows of these threads. For `StateStore.change`."""
    for table in TABLES:
        connection.executemany(f"DELETE FROM {table} WHERE thread_id = ?", [(id,) for id in thread_ids])


def has_queue(connection: sqlite3.Connection, thread_id: str) -> bool:
    """Whether anything is queued for a thread. It is here, so that opening a thread without a queue imports nothing for it."""
    return connection.execute("SELECT 1 FROM queued WHERE thread_id = ? LIMIT 1", (thread_id,)).fetchone() is not None


def is_organized(connection: sqlite3.Connection, thread_id: str) -> bool:
    """Whether a thread has attachments or a project."""
    return any(
        connection.execute(f"SELECT 1 FROM {table} WHERE thread_id = ? LIMIT 1", (thread_id,)).fetchone()
        for table in ("attachments", "memberships")
    )
