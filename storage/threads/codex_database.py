"""Telling Codex of what it would not look for: it keeps names, repositories and rollouts' places in its database.

Codex reads a rollout's metadata when it first sees the file, and from then on believes its database
(`$CODEX_HOME/state_<version>.sqlite`, table `threads`). What is in it beside these columns is left alone. Where there is
no such database, table, column or row, nothing has to be told.
"""

import logging
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from spindle.storage.home import Home

log = logging.getLogger("spindle")

_NAME = re.compile(r"state_(\d+)\.sqlite")
_PATIENCE = 1.0
"""Seconds to wait for a server that is writing."""


def tell_codex(home: Home, thread_id: str, values: Mapping[str, str | None]) -> None:
    """Set columns of the thread's row. Blocking; never raises: the rollout has it all, and Codex may look there again."""
    path = _newest(home.path)
    if path is None:
        return
    import sqlite3  # late: few homes have seen Codex run

    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)) as database, database:
            there = {row[1] for row in database.execute("PRAGMA table_info(threads)")}
            told = {column: value for column, value in values.items() if column in there}
            if told and "id" in there:
                assignments = ", ".join(f"{column} = ?" for column in told)
                database.execute(f"UPDATE threads SET {assignments} WHERE id = ?", (*told.values(), thread_id))
    except sqlite3.Error as error:
        log.warning("Codex's database %s could not be told of thread %s: %s", path, thread_id, error)


def _newest(home: Path) -> Path | None:
    found = [(int(match[1]), path) for path in home.glob("state_*.sqlite") if (match := _NAME.fullmatch(path.name))]
    return max(found, default=(0, None), key=lambda each: each[0])[1]
