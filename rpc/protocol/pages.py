"""Pages of lists whose cursors are decimal offsets."""

from collections.abc import Sequence
from typing import Final, TypeVar

from spindle.rpc.protocol.errors import invalid_request

T = TypeVar("T")
_DIGITS: Final = 19


def page_of(rows: Sequence[T], cursor: str | None, limit: int | None, what: str) -> tuple[Sequence[T], str | None]:
    """The rows from `cursor` on, at most `limit` and at least one, and the next cursor; all without a limit.

    `what` names the rows in errors. Raises RpcError for a cursor that is none of this list.
    """
    start = 0
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= _DIGITS):
            raise invalid_request(f"invalid cursor: {cursor}")
        start = int(cursor)
        if start > len(rows):
            raise invalid_request(f"cursor {cursor} exceeds total {what} {len(rows)}")
    end = len(rows) if limit is None else min(start + max(1, limit), len(rows))
    return rows[start:end], str(end) if end < len(rows) else None
