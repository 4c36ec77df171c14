"""All occurrences of a term in one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import loads
from spindle.storage.rollout.source import Source
from spindle.storage.search.messages import SearchedMessage, messages
from spindle.storage.search.needle import Needle, Snippet, snippet
from spindle.storage.threads.thread_errors import InvalidCursor

DEFAULT_LIMIT: Final = 25
LARGEST_LIMIT: Final = 100


@frozen
class Occurrence:
    """One occurrence: a message, and its text around the match."""

    message: SearchedMessage
    snippet: Snippet


@frozen
class OccurrencePage:
    """One page, in the order of the messages."""

    data: Sequence[Occurrence]
    next_cursor: str | None


def find_occurrences(
    source: Source, thread_id: str, term: str, cursor: str | None, limit: int | None, check: Callable[[], None]
) -> OccurrencePage:
    """One page of the occurrences of a term (not blank) in a thread's rollout.

    A cursor is valid for its thread and term only. `limit` None is 25, else it is clamped to 1..100. Raises
    InvalidCursor, OSError.
    """
    start = 0 if cursor is None else _parse_cursor(cursor, thread_id, term)
    count = DEFAULT_LIMIT if limit is None else min(max(limit, 1), LARGEST_LIMIT)
    needle = Needle(term)
    places = ((message, match) for message in messages(source, check) for match in needle.matches(message.text))
    found = list(islice(places, start, start + count + 1))
    data = [Occurrence(message, snippet(message.text, match)) for message, match in found[:count]]
    more = len(found) > count
    return OccurrencePage(data, _write_cursor(thread_id, term, start + count) if more else None)


def _write_cursor(thread_id: str, term: str, start: int) -> str:
    return orjson.dumps({"threadId": thread_id, "searchTerm": term, "nextOccurrence": start}).decode()


def _parse_cursor(text: str, thread_id: str, term: str) -> int:
    try:
        cursor: Any = loads(text)
    except orjson.JSONDecodeError:
        raise InvalidCursor(text) from None
    match cursor:
        case {"threadId": of, "searchTerm": wanted, "nextOccurrence": int(start)} if start >= 0:
            if (of, wanted) == (thread_id, term):
                return start
        case _:
            pass
    raise InvalidCursor(text)
