"""Attachments of threads. Functions of a connection, for `StateStore.read` and `change`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from uuid_utils import uuid7

from spindle.rpc.protocol.attachments import ThreadAttachment

if TYPE_CHECKING:
    import sqlite3

MOST: Final = 100
"""How many attachments a thread may have."""
LONGEST_NAME: Final = 256
"""The most bytes of a type and of an identity."""
LARGEST_PAYLOAD: Final = 65536
"""In bytes of JSON."""

_COLUMNS: Final = "SELECT id, type, identity, payload, created_at FROM attachments"


class AttachmentError(Exception):
    """The request about an attachment is impossible; the message is for clients."""


def check_names(type: str, identity: str) -> None:
    """Raise AttachmentError for a type or an identity that is empty or too long."""
    for member, value in (("attachmentType", type), ("identityKey", identity)):
        if not value:
            raise AttachmentError(f"{member} must not be empty")
        if len(value.encode()) > LONGEST_NAME:
            raise AttachmentError(f"{member} must not exceed {LONGEST_NAME} bytes")


def add(
    connection: sqlite3.Connection, thread_id: str, type: str, identity: str, payload: object, now: int
) -> tuple[ThreadAttachment, bool]:
    """The thread's attachment, and whether it is new. `now` is in Unix seconds. Raises AttachmentError."""
    check_names(type, identity)
    body = orjson.dumps(payload)
    if len(body) > LARGEST_PAYLOAD:
        raise AttachmentError(f"attachment payload must not exceed {LARGEST_PAYLOAD} bytes")
    found = find(connection, thread_id, type, identity)
    if found is not None:
        return found, False
    (count,) = connection.execute("SELECT count(*) FROM attachments WHERE thread_id = ?", (thread_id,)).fetchone()
    if count >= MOST:
        raise AttachmentError(f"thread attachment identity count exceeds {MOST}")
    id = str(uuid7())
    connection.execute("INSERT INTO attachments VALUES (?, ?, ?, ?, ?, ?)", (id, thread_id, type, identity, body, now))
    return ThreadAttachment(id, type, identity, payload, now), True


def find(connection: sqlite3.Connection, thread_id: str, type: str, identity: str) -> ThreadAttachment | None:
    """An attachment; None if the thread does not have it."""
    row = connection.execute(
        f"{_COLUMNS} WHERE thread_id = ? AND type = ? AND identity = ?", (thread_id, type, identity)
    ).fetchone()
    return None if row is None else _attachment(*row)


def page(
    connection: sqlite3.Connection, thread_id: str, after: tuple[int, str] | None, limit: int
) -> list[ThreadAttachment]:
    """Up to `limit` attachments, oldest first, behind the one with this time and id."""
    rows = connection.execute(
        f"{_COLUMNS} WHERE thread_id = ? AND (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?",
        (thread_id, *(after or (-1, "")), limit),
    )
    return [_attachment(*row) for row in rows]


def owners(connection: sqlite3.Connection, type: str, identity: str, after: str) -> list[str]:
    """The ids of the threads that have this attachment, ascending, behind `after`."""
    return [
        id
        for (id,) in connection.execute(
            "SELECT thread_id FROM attachments WHERE type = ? AND identity = ? AND thread_id > ? ORDER BY thread_id",
            (type, identity, after),
        )
    ]


def remove(connection: sqlite3.Connection, thread_id: str, type: str, identity: str) -> ThreadAttachment | None:
    """Remove an attachment and return it; None if the thread does not have it. Raises AttachmentError."""
    check_names(type, identity)
    found = find(connection, thread_id, type, identity)
    if found is not None:
        connection.execute("DELETE FROM attachments WHERE id = ?", (found.id,))
    return found


def copy_attachments(connection: sqlite3.Connection, source: str, fork: str, now: int) -> None:
    """Give a fork what its source has."""
    rows = connection.execute(
        "SELECT type, identity, payload FROM attachments WHERE thread_id = ? ORDER BY created_at, id", (source,)
    ).fetchall()
    connection.executemany(
        "INSERT INTO attachments VALUES (?, ?, ?, ?, ?, ?)", [(str(uuid7()), fork, *row, now) for row in rows]
    )


def _attachment(id: str, type: str, identity: str, payload: bytes, created_at: int) -> ThreadAttachment:
    return ThreadAttachment(id, type, identity, orjson.loads(payload), created_at)
