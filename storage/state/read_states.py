"""Read states. Functions of a connection, for `StateStore.read` and `change`.

A thread without a row has not changed since states are recorded: it is read, and its revision derives from its id.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from spindle.rpc.protocol.read_states import ThreadReadState, UnreadFromStart, UnreadFromTurn

if TYPE_CHECKING:
    import sqlite3


class RevisionConflict(Exception):
    """The thread changed after the revision of a mark; `state` is the current state."""

    def __init__(self, state: ThreadReadState) -> None:
        super().__init__("read state changed")
        self.state = state


def initial(thread_id: str) -> ThreadReadState:
    """The state of a thread without a row."""
    return ThreadReadState(None, f"initial:{thread_id}")


def read_states(connection: sqlite3.Connection, thread_ids: Iterable[str]) -> Mapping[str, ThreadReadState]:
    """The states of these threads."""
    return {id: read_state(connection, id) for id in thread_ids}


def read_state(connection: sqlite3.Connection, thread_id: str) -> ThreadReadState:
    """The state of a thread."""
    return _state(connection, thread_id)[0]


def mark(connection: sqlite3.Connection, thread_id: str, unread: bool, expected: str) -> ThreadReadState:
    """Mark a thread as read, or its last turn as unread. Raises RevisionConflict."""
    state, last_turn = _state(connection, thread_id)
    if state.revision != expected:
        raise RevisionConflict(state)
    return _keep(connection, thread_id, unread, last_turn if unread else None, last_turn)


def turn_ended(connection: sqlite3.Connection, thread_id: str, turn_id: str) -> ThreadReadState:
    """Record a new unread turn; an earlier unread turn stays the first."""
    row = connection.execute(
        "SELECT unread, first_unread_turn FROM read_states WHERE thread_id = ?", (thread_id,)
    ).fetchone()
    first = row[1] if row is not None and row[0] else turn_id
    return _keep(connection, thread_id, True, first, turn_id)


def turns_taken_back(connection: sqlite3.Connection, thread_id: str, left: Sequence[str]) -> ThreadReadState:
    """Record that only these turns are left, oldest first; unread ones among them stay unread."""
    row = connection.execute(
        "SELECT unread, first_unread_turn FROM read_states WHERE thread_id = ?", (thread_id,)
    ).fetchone()
    first = row[1] if row is not None and row[0] and row[1] in left else None
    return _keep(connection, thread_id, first is not None, first, left[-1] if left else None)


def _keep(
    connection: sqlite3.Connection, thread_id: str, unread: bool, first: str | None, last: str | None
) -> ThreadReadState:
    revision = str(uuid.uuid4())
    connection.execute(
        "INSERT OR REPLACE INTO read_states VALUES (?, ?, ?, ?, ?)", (thread_id, unread, first, last, revision)
    )
    return _built(unread, first, revision)


def _state(connection: sqlite3.Connection, thread_id: str) -> tuple[ThreadReadState, str | None]:
    row = connection.execute(
        "SELECT unread, first_unread_turn, revision, last_turn FROM read_states WHERE thread_id = ?", (thread_id,)
    ).fetchone()
    return (initial(thread_id), None) if row is None else (_built(*row[:3]), row[3])


def _built(unread: int, first: str | None, revision: str) -> ThreadReadState:
    if not unread:
        return ThreadReadState(None, revision)
    return ThreadReadState(UnreadFromStart() if first is None else UnreadFromTurn(first), revision)
