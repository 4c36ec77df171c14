"""Forgetting a thread."""

import sqlite3
from collections.abc import Sequence

TABLES = ("placements", "read_states", "goals")


def forget_threads(connection: sqlite3.Connection, thread_ids: Sequence[str]) -> None:
    """Remove everything that is kept about these threads. For `StateStore.change`."""
    for table in TABLES:
        connection.executemany(f"DELETE FROM {table} WHERE thread_id = ?", [(id,) for id in thread_ids])
