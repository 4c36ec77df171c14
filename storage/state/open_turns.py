"""Turns that wait for an answer: what is needed to continue each. Functions of a connection, for `StateStore`.

A row exists as long as a question of the turn is open. It says nothing once the rollout has an end of the turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def keep(connection: sqlite3.Connection, thread_id: str, turn_id: str, body: bytes) -> None:
    """Store the turn that waits in a thread. `body` replaces what was stored for the thread before."""
    connection.execute("INSERT OR REPLACE INTO open_turns VALUES (?, ?, ?)", (thread_id, turn_id, body))


def waiting(connection: sqlite3.Connection, thread_id: str, turn_id: str) -> bytes | None:
    """The body of a turn; None if it does not wait."""
    row = connection.execute(
        "SELECT body FROM open_turns WHERE thread_id = ? AND turn_id = ?", (thread_id, turn_id)
    ).fetchone()
    return None if row is None else bytes(row[0])


def take(connection: sqlite3.Connection, thread_id: str, turn_id: str) -> bytes | None:
    """Remove a turn and return its body. Of several callers, in any processes, one gets it."""
    body = waiting(connection, thread_id, turn_id)
    forget(connection, thread_id, turn_id)
    return body


def forget(connection: sqlite3.Connection, thread_id: str, turn_id: str) -> None:
    """Remove a turn, if it is stored."""
    connection.execute("DELETE FROM open_turns WHERE thread_id = ? AND turn_id = ?", (thread_id, turn_id))
