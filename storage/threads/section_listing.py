"""`thread/list` within one section: the section tells which threads there are, their rollouts the rest.

In the order of the section, only the rollouts of a page are looked at; by time, those of all threads of the section.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from attrs import frozen

from spindle.storage.home import Home
from spindle.storage.threads.errors import InvalidCursor, StoredThreadError
from spindle.storage.threads.listing import DEFAULT_LIMIT, LARGEST_LIMIT, ThreadPage, ThreadQuery, source_kinds
from spindle.storage.threads.locate import locate, locate_archived
from spindle.storage.threads.summary import SummaryCache, ThreadSummary, read_summary

_INTERACTIVE: Final = frozenset({"cli", "vscode"})
_TIMES: Final[dict[str, Callable[[ThreadSummary], int]]] = {
    "created_at": lambda thread: thread.created_at,
    "updated_at": lambda thread: thread.updated_at,
    "recency_at": lambda thread: thread.updated_at,
}


@frozen
class PlacedThread:
    """A thread of the section and its place, a number that ascends through the section."""

    thread_id: str
    position: int


@frozen
class _Cursor:
    """A place to go on from, with or without the thread that is there."""

    place: tuple[int, str]
    inclusive: bool

    def precedes(self, place: tuple[int, str], descending: bool) -> bool:
        """Whether `place` is still to come."""
        if place == self.place:
            return self.inclusive
        return (place < self.place) == descending


def list_section(
    home: Home, threads: Sequence[PlacedThread], query: ThreadQuery, cache: SummaryCache, *, by_position: bool
) -> ThreadPage:
    """One page of the threads of a section, given in their order. Blocks on the disk.

    `query.sort_key` counts unless `by_position`. Threads that are not on the asked-for side of the archive, whose
    rollouts cannot be read or which the query's filters leave out are passed over. Raises InvalidCursor.
    """
    descending = query.sort_direction == "desc"
    after = None if query.cursor is None else _parse_cursor(query.cursor)
    limit = DEFAULT_LIMIT if query.limit is None else min(max(query.limit, 1), LARGEST_LIMIT)
    rows: list[tuple[tuple[int, str], ThreadSummary]] = []
    candidates = _by_position if by_position else _by_time
    for place, thread in candidates(home, threads, query, cache, descending):
        if after is not None and not after.precedes(place, descending):
            continue
        if (found := thread()) is None:
            continue
        if len(rows) == limit:
            return ThreadPage([row for _, row in rows], _write_cursor(rows[-1][0]), _write_cursor(rows[0][0], True))
        rows.append((place, found))
    first = _write_cursor(rows[0][0], True) if rows else None
    return ThreadPage([row for _, row in rows], None, first)


_Candidates = Iterator[tuple[tuple[int, str], Callable[[], ThreadSummary | None]]]


def _by_position(
    home: Home, threads: Sequence[PlacedThread], query: ThreadQuery, cache: SummaryCache, descending: bool
) -> _Candidates:
    for placed in reversed(threads) if descending else threads:
        place = (placed.position, placed.thread_id)
        yield place, lambda id=placed.thread_id: _wanted(home, id, query, cache)  # type: ignore[misc]


def _by_time(
    home: Home, threads: Sequence[PlacedThread], query: ThreadQuery, cache: SummaryCache, descending: bool
) -> _Candidates:
    time = _TIMES[query.sort_key]
    found = [thread for placed in threads if (thread := _wanted(home, placed.thread_id, query, cache)) is not None]
    for thread in sorted(found, key=lambda thread: (time(thread), thread.id), reverse=descending):
        yield (time(thread), thread.id), lambda thread=thread: thread  # type: ignore[misc]


def _wanted(home: Home, thread_id: str, query: ThreadQuery, cache: SummaryCache) -> ThreadSummary | None:
    if thread_id in query.excluded_ids:
        return None
    try:
        path = (locate_archived if query.archived else locate)(home, thread_id)
        if path is None:
            return None
        thread = read_summary(path, cache=cache, default_provider=query.default_provider)
    except (StoredThreadError, OSError):
        return None
    providers = [query.default_provider] if query.model_providers is None else query.model_providers
    if providers and thread.model_provider not in providers:
        return None
    if source_kinds(thread.source).isdisjoint(query.source_kinds or _INTERACTIVE):
        return None
    if query.cwd is not None and thread.cwd not in query.cwd:
        return None
    term = query.search_term
    said = not term or term in thread.preview or (thread.name is not None and term in thread.name)
    return thread if said else None


def _write_cursor(place: tuple[int, str], inclusive: bool = False) -> str:
    return f"{place[0]}|{place[1]}" + ("|from" if inclusive else "")


def _parse_cursor(text: str) -> _Cursor:
    number, *rest = text.split("|")
    if not number.isascii() or not number.isdecimal() or rest[1:] not in ([], ["from"]) or not rest:
        raise InvalidCursor(text)
    return _Cursor((int(number), rest[0]), inclusive=len(rest) == 2)
