"""Write changes to Codex's database, which has the names, repositories and paths of threads.

Codex reads a rollout's metadata when it first sees the file, and then trusts its database
(`state_<version>.sqlite` in the home or in `sqlite_home`, table `threads`). Other columns are not touched. Without such
a database, table, column or row there is nothing to do.
"""

import logging
import os
import re
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from spindle.storage.home import Home

log = logging.getLogger("spindle")

_NAME = re.compile(r"state_(\d+)\.sqlite")
_PATIENCE = 1.0
"""Seconds to wait for a server that is writing."""


def update_codex_database(home: Home, thread_id: str, values: Mapping[str, str | None]) -> None:
    """Set columns of the thread's row. Blocking; never raises: the rollout has the values, too, and Codex may read it again."""
    path = _newest(_folder(home))
    if path is None:
        return
    import sqlite3  # imported late: few homes have such a database

    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)) as database, database:
            there = {row[1] for row in database.execute("PRAGMA table_info(threads)")}
            known = {column: value for column, value in values.items() if column in there}
            if known and "id" in there:
                assignments = ", ".join(f"{column} = ?" for column in known)
                database.execute(f"UPDATE threads SET {assignments} WHERE id = ?", (*known.values(), thread_id))
    except sqlite3.Error as error:
        log.warning("thread %s could not be updated in Codex's database %s: %s", thread_id, path, error)


def _folder(home: Home) -> Path:
    """Where Codex has its databases: `sqlite_home` of config.toml, else `CODEX_SQLITE_HOME`, else the home."""
    from spindle.storage.config import ConfigError, load

    named: object = None
    with suppress(ConfigError, OSError):
        named = load(home).raw.get("sqlite_home")
    if not (isinstance(named, str) and named):
        named = os.environ.get("CODEX_SQLITE_HOME", "")
    return home.path / Path(named).expanduser()


def _newest(home: Path) -> Path | None:
    found = [(int(match[1]), path) for path in home.glob("state_*.sqlite") if (match := _NAME.fullmatch(path.name))]
    return max(found, default=(0, None), key=lambda each: each[0])[1]
