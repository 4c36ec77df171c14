"""Queued submissions of threads. Functions of a connection, for `StateStore.read` and `change`.

An entry becomes a turn in two steps, so that it is neither lost nor run twice if the process is killed between: `claim`
gives it the turn's id, and `drop` removes it when the turn's record has its input. Claimed entries are in no list. After a
crash the record decides whether a claimed entry is dropped or returned to the queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.queue import QueuedSubmission

if TYPE_CHECKING:
    import sqlite3

    from spindle.rpc.protocol.user_input import UserInput

MOST: Final = 256
"""How many entries a queue may have."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""How many bytes they may have, without the last one."""

_OF: Final = "FROM queued WHERE thread_id = ?1 AND turn_id IS NULL"


class QueueError(Exception):
    """The request about a queue is impossible; the message is for clients."""


class QueueFull(QueueError):
    """The queue has no room."""


@frozen
class Standing:
    """What a thread needs to know of its queue when it is loaded. `claimed` are (entry, turn) ids that a crash has left."""

    waiting: int = 0
    paused: bool = False
    claimed: Sequence[tuple[str, str]] = ()


def standing(connection: sqlite3.Connection, thread_id: str) -> Standing:
    """The state of a thread's queue."""
    claimed = connection.execute("SELECT id, turn_id FROM queued WHERE thread_id = ? AND turn_id NOT NULL", (thread_id,))
    paused = connection.execute("SELECT 1 FROM paused_queues WHERE thread_id = ?", (thread_id,)).fetchone()
    return Standing(count(connection, thread_id), paused is not None, [(id, turn) for id, turn in claimed])


def count(connection: sqlite3.Connection, thread_id: str) -> int:
    """How many entries wait."""
    (found,) = connection.execute(f"SELECT count(*) {_OF}", (thread_id,)).fetchone()
    return int(found)


def page(connection: sqlite3.Connection, thread_id: str, start: int, limit: int) -> list[QueuedSubmission]:
    """Up to `limit` entries in order, from number `start` on, counted from 0."""
    rows = connection.execute(f"SELECT submission {_OF} ORDER BY position, id LIMIT ?2 OFFSET ?3", (thread_id, limit, start))
    return [_entry(body) for (body,) in rows]


def find(connection: sqlite3.Connection, thread_id: str, id: str | None) -> QueuedSubmission | None:
    """The entry `id`, or the next one; None if it is not there."""
    row = connection.execute(
        f"SELECT submission {_OF} AND (?2 IS NULL OR id = ?2) ORDER BY position, id LIMIT 1", (thread_id, id)
    ).fetchone()
    return None if row is None else _entry(row[0])


def absent(id: str | None) -> str:
    """What to say to a client if `find` finds nothing."""
    return "queue is empty" if id is None else f"queued submission not found: {id}"


def add(connection: sqlite3.Connection, thread_id: str, entry: QueuedSubmission) -> None:
    """Put an entry at the end. Raises QueueFull."""
    waiting, size, last = connection.execute(
        f"SELECT count(*), total(length(submission)), max(position) {_OF}", (thread_id,)
    ).fetchone()
    if waiting >= MOST or size > MOST_BYTES:
        raise QueueFull(f"the queue of thread {thread_id} is full")
    connection.execute(
        "INSERT INTO queued (id, thread_id, position, submission) VALUES (?, ?, ?, ?)",
        (entry.id, thread_id, (last or 0) + 1, _body(entry)),
    )


def update(
    connection: sqlite3.Connection,
    thread_id: str,
    id: str,
    content: Sequence[UserInput],
    metadata: Mapping[str, str] | None,
) -> QueuedSubmission:
    """Replace the input of an entry, and its metadata unless the new one is empty. Raises QueueError."""
    before = find(connection, thread_id, id)
    if before is None:
        raise QueueError(absent(id))
    after = QueuedSubmission(
        id=id,
        input=content,
        client_user_message_id=before.client_user_message_id,
        responsesapi_client_metadata=metadata or before.responsesapi_client_metadata,
    )
    connection.execute("UPDATE queued SET submission = ? WHERE id = ?", (_body(after), id))
    return after


def delete(connection: sqlite3.Connection, thread_id: str, id: str) -> bool:
    """Remove an entry; False if it is not in the queue."""
    gone = connection.execute("DELETE FROM queued WHERE thread_id = ? AND id = ? AND turn_id IS NULL", (thread_id, id))
    return gone.rowcount > 0


def reorder(connection: sqlite3.Connection, thread_id: str, ids: Sequence[str]) -> bool:
    """Bring the queue into the order of `ids`; False if it has that order. Raises QueueError for other ids."""
    now = [id for (id,) in connection.execute(f"SELECT id {_OF} ORDER BY position, id", (thread_id,))]
    if not ids or sorted(ids) != sorted(now):
        raise QueueError("queue reorder must include every queued submission exactly once")
    connection.executemany("UPDATE queued SET position = ? WHERE id = ?", list(enumerate(ids, 1)))
    return list(ids) != now


# -- from an entry to a turn


def claim(connection: sqlite3.Connection, id: str, turn_id: str) -> bool:
    """Take an entry out of the queue for a turn; False if it is not in the queue any more."""
    taken = connection.execute("UPDATE queued SET turn_id = ? WHERE id = ? AND turn_id IS NULL", (turn_id, id))
    return taken.rowcount > 0


def unclaim(connection: sqlite3.Connection, id: str) -> None:
    """Return an entry to the queue, in its place: its turn's record does not have its input."""
    connection.execute("UPDATE queued SET turn_id = NULL WHERE id = ?", (id,))


def drop(connection: sqlite3.Connection, id: str) -> None:
    """Remove a claimed entry: its turn's record has its input."""
    connection.execute("DELETE FROM queued WHERE id = ?", (id,))


def set_paused(connection: sqlite3.Connection, thread_id: str, paused: bool) -> None:
    """Keep whether the next entry waits for the user to go on."""
    if paused:
        connection.execute("INSERT OR IGNORE INTO paused_queues VALUES (?)", (thread_id,))
    else:
        connection.execute("DELETE FROM paused_queues WHERE thread_id = ?", (thread_id,))


def _body(entry: QueuedSubmission) -> bytes:
    return orjson.dumps(unstructure(entry))


def _entry(body: bytes) -> QueuedSubmission:
    given: Any = orjson.loads(body)
    return structure(given, QueuedSubmission)
