"""Thread names in the index: `session_index.jsonl` only grows, so only its new part is read."""

from __future__ import annotations

import io
import os
import sqlite3
from pathlib import Path
from typing import BinaryIO

from spindle.storage.index.folders import transaction
from spindle.storage.regular import regular
from spindle.storage.threads.names import NAMES_FILE, parse_entry

_TAIL = 256
"""Bytes before the last read position that are compared, to verify that the file only grew."""

_PIECE = 1 << 13
"""Bytes per read: each read lets other threads run."""


class Names:
    """Updates the names, for one connection."""

    def __init__(self, home: Path) -> None:
        self._path = home / NAMES_FILE
        self._signature: tuple[int, ...] = ()

    def update(self, db: sqlite3.Connection, epoch: int, most: int | None = None) -> bool:
        """Read the added part; returns False, without reading, if it is more than `most` bytes. Raises OSError."""
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            stat = None
        now: tuple[int, int, int] = (0, 0, 0) if stat is None else (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        signature = (epoch, *now)
        if self._signature == signature:
            return True
        row = db.execute("SELECT inode, size, mtime_ns, offset, tail FROM names_read").fetchone()
        if row is None or row[:3] != now:
            begin = 0
            with io.BytesIO() if stat is None else open(
                self._path, "rb", buffering=_PIECE, opener=regular
            ) as file:
                if row is not None and row[0] == now[0] and row[3] <= now[1]:
                    begin = row[3]
                    file.seek(begin - len(row[4]))
                    if file.read(len(row[4])) != row[4]:
                        begin = 0
                if most is not None and now[1] - begin > most:
                    return False
                self._read(db, file, now, begin)
        self._signature = signature
        return True

    def _read(self, db: sqlite3.Connection, file: BinaryIO, now: tuple[int, int, int], begin: int) -> None:
        file.seek(begin)
        offset = begin
        names: dict[str, str | None] = {}
        for line in file:
            if line.endswith(b"\n"):  # an unfinished line is used, and read again later
                offset += len(line)
            if (entry := parse_entry(line)) is not None:
                names[entry[0]] = entry[1]
        file.seek(max(0, offset - _TAIL))
        tail = file.read(min(offset, _TAIL))
        with transaction(db):
            if begin == 0:
                db.execute("DELETE FROM names")
            for id, name in names.items():
                if name is None:
                    db.execute("DELETE FROM names WHERE thread_id = ?", (id,))
                else:
                    db.execute("INSERT OR REPLACE INTO names VALUES(?, ?)", (id, name))
            db.execute("DELETE FROM names_read")
            db.execute("INSERT INTO names_read VALUES(?, ?, ?, ?, ?)", (*now, offset, tail))
