"""The memories that Codex keeps in a home: files in folders, and rows in databases of its own. Everything here blocks.

Spindle makes no memories; it shows them and removes them. A folder that is a link is not followed.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from spindle.storage.home import Home
from spindle.storage.outside import TEXT, read_file

log = logging.getLogger("spindle")

_FOLDERS: Final = ("memories", "memories_extensions", "memories_v2")
_DATABASE: Final = re.compile(r"(state|memories|memories_v2)_\d+\.sqlite")
_SECOND: Final = re.compile(r"memories_v2_\d+\.sqlite")
_PATIENCE: Final = 1.0
"""Seconds to wait for a server that is writing."""


def summary(home: Home) -> str | None:
    """The summary of the memories; None if it is missing, blank, or cannot be read."""
    try:
        text = read_file(home.path / "memories" / "memory_summary.md", TEXT).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return text if text.strip() else None


def consolidated(home: Home) -> int:
    """How many threads are in the second form of memories."""
    counts = [0]
    for path in _databases(home, _SECOND):
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)) as database:
                counts += [int(count) for (count,) in database.execute("SELECT max_thread_count FROM consolidation_progress")]
        except sqlite3.Error as error:
            log.warning("the memories in %s cannot be read: %s", path, error)
    return max(counts)


def has_first(home: Home) -> bool:
    """Whether there are memories of the first form."""
    try:
        return any((home.path / "memories").iterdir())
    except OSError:
        return False


def reset(home: Home) -> None:
    """Remove all memories. The folders stay. Raises OSError, sqlite3.Error."""
    for name in _FOLDERS:
        folder = home.path / name
        if folder.is_symlink():
            raise OSError(f"refusing to clear symlinked memory root {folder}")
    for path in _databases(home, _DATABASE):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)) as database, database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'stage1_outputs'").fetchone():
                database.execute("DELETE FROM stage1_outputs")
    for name in _FOLDERS:
        folder = home.path / name
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _databases(home: Home, name: re.Pattern[str]) -> Iterator[Path]:
    return (path for path in home.path.glob("*.sqlite") if name.fullmatch(path.name))
