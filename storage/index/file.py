"""The index's file, `$CODEX_HOME/spindle/index.sqlite`: its tables, and its replacement when it is unusable.

It is a cache. A file that is damaged or of another version is deleted and rebuilt. Where no file can be kept (a
read-only home), a temporary one is used until the process ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

from spindle.storage.durable import private_database, private_folder
from spindle.storage.home import Home
from spindle.storage.locks import open_lock, release, wait_for
from spindle.storage.threads.thread_errors import is_passing

log = logging.getLogger("spindle")

VERSION = 1
"""The version of the tables; a file of another version is rebuilt."""

_TABLES = """
CREATE TABLE folders(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL);
CREATE TABLE threads(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    folder INTEGER NOT NULL, file TEXT NOT NULL,
    thread_id TEXT NOT NULL, shelf INTEGER NOT NULL,
    created INTEGER NOT NULL, changed INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL, inode INTEGER NOT NULL,
    provider TEXT, kinds INTEGER NOT NULL, cwd TEXT, parent TEXT, long INTEGER NOT NULL,
    head BLOB, preview TEXT,
    UNIQUE(folder, file));
CREATE INDEX by_thread ON threads(thread_id);
CREATE INDEX by_creation ON threads(shelf, created, thread_id, provider, kinds, cwd);
CREATE INDEX by_change ON threads(shelf, changed, thread_id, provider, kinds, cwd);
CREATE INDEX by_parent ON threads(parent) WHERE parent IS NOT NULL;
CREATE INDEX long_ones ON threads(id) WHERE long;
CREATE TABLE names(thread_id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE names_read(inode INTEGER, size INTEGER, mtime_ns INTEGER, offset INTEGER, tail BLOB);
CREATE TABLE outlines(
    file TEXT NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY(file, inode)) WITHOUT ROWID;
"""
# Substrings of three or more characters are found by trigrams; SQLite has that tokenizer since 3.34.
_SEARCH = """
CREATE VIRTUAL TABLE search USING fts5(text, content='', detail=none, tokenize='trigram case_sensitive 1');
"""

_PATIENCE = 1.0
"""Seconds to wait for another writer; after that the files are read instead."""

# SQLite's errors for wrong content, not for a temporary failure.
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_ERROR,  # tables or columns are missing
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_CONSTRAINT,
    }
)

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class IndexDamaged(Exception):
    """The index has impossible content and must be deleted."""


class IndexUnavailable(Exception):
    """The index cannot be used now: locked for too long, or no space. The files must be read instead."""


class IndexConnection:
    """A connection for one thread at a time, opened at first use, and again when the file was replaced."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self.opened = 0
        """How many times it was opened: values read before may be wrong."""

    @contextlib.contextmanager
    def use(self) -> Generator[sqlite3.Connection]:
        """The connection, for the length of the block.

        If the block finds damage, the file is deleted. Raises IndexUnavailable for all failures.
        """
        try:
            yield self._open()
        except (IndexDamaged, sqlite3.Error) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            inode = self._inode
            self.close()
            if isinstance(error, IndexDamaged) or (code & 0xFF) in _DAMAGE:
                log.warning("the thread index is damaged (%s) and will be rebuilt", error)
                self._file.discard(inode)
            raise IndexUnavailable(str(error)) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._file.inode() == self._inode:
            return self._connection
        self.close()
        self._connection, self._inode = self._file.connect()
        self.opened += 1
        return self._connection

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


class IndexFile:
    """The file of the index. May be shared by threads."""

    def __init__(self, home: Home) -> None:
        self._path = home.index_file
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._mutex = threading.Lock()

    def inode(self) -> int:
        """The inode of the file; 0 if there is no file."""
        try:
            return os.stat(self._path).st_ino
        except OSError:
            return 0

    def connect(self) -> tuple[sqlite3.Connection, int]:
        """A new connection, with tables, and the inode of its file. Raises IndexUnavailable."""
        with self._mutex:
            try:
                return self._connect()
            except (OSError, sqlite3.Error) as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
                if self._temporary is not None or busy or is_passing(error):
                    raise IndexUnavailable(str(error)) from error
                log.info("the thread index cannot be kept in the home: %s", error)
            try:
                self._temporary = tempfile.TemporaryDirectory(prefix="spindle-index-", ignore_cleanup_errors=True)
                self._path = Path(self._temporary.name) / self._path.name
                return self._connect()
            except (OSError, sqlite3.Error) as error:
                raise IndexUnavailable(str(error)) from error

    def discard(self, inode: int) -> None:
        """Delete the file if it still has this inode."""
        with self._mutex, contextlib.suppress(OSError, IndexUnavailable), self._alone():
            if self.inode() == inode:
                self._remove()

    def close(self) -> None:
        """Remove a temporary file. All connections must be closed."""
        with self._mutex:
            if self._temporary is not None:
                self._temporary.cleanup()

    def _connect(self) -> tuple[sqlite3.Connection, int]:
        private_folder(self._path.parent)
        with self._alone():
            try:
                return self._opened()
            except (IndexDamaged, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.DatabaseError) and (error.sqlite_errorcode & 0xFF) not in _DAMAGE:
                    raise
                log.warning("the thread index cannot be read (%s) and will be rebuilt", error)
            self._remove()
            return self._opened()

    def _opened(self) -> tuple[sqlite3.Connection, int]:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            private_database(self._path)
            if version not in (0, VERSION):
                connection.close()
                self._remove()
                return self._opened()
            if version == 0:
                _make_tables(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 4194304")
            return connection, self.inode()
        except BaseException:
            connection.close()
            raise

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Only one process at a time opens, creates or removes the file. Raises IndexUnavailable if one takes too long."""
        lock = self._path.parent / "index.lock"
        fd = open_lock(lock)
        try:
            try:
                wait_for(fd, lock, _PATIENCE)
            except TimeoutError:
                raise IndexUnavailable("another process is opening the index") from None
            yield
        finally:
            release(fd)


def _make_tables(db: sqlite3.Connection) -> None:
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN EXCLUSIVE; {_TABLES} COMMIT;")
    except sqlite3.OperationalError as error:
        if (error.sqlite_errorcode & 0xFF) in _BUSY:
            # Only one process at a time creates tables, so the other user has opened the file with other content.
            raise IndexDamaged("it was emptied while in use") from error
        raise
    with contextlib.suppress(sqlite3.OperationalError):  # without the tokenizer, searches scan
        db.executescript(_SEARCH)
    db.execute(f"PRAGMA user_version = {VERSION}")  # last, so that an unfinished file is rebuilt
