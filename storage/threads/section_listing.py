"""`thread/list` in the order of one section: the section has the threads, the rollouts have the rest."""

from collections.abc import Sequence

from spindle.rpc.lazy_class import frozen
from spindle.storage.home import Home
from spindle.storage.threads.locate import locate, locate_archived
from spindle.storage.threads.query import ThreadPage, ThreadQuery, wanted
from spindle.storage.threads.summary import ThreadSummary, read_summary
from spindle.storage.threads.thread_errors import InvalidCursor, StoredThreadError, is_passing


@frozen
class PlacedThread:
    """A thread of the section and its position, an ascending number."""

    thread_id: str
    position: int


@frozen
class _Cursor:
    """A place to continue from, with or without its thread."""

    place: tuple[int, str]
    inclusive: bool

    def precedes(self, place: tuple[int, str], descending: bool) -> bool:
        """Whether `place` comes after it."""
        if place == self.place:
            return self.inclusive
        return (place < self.place) == descending


def list_section(home: Home, threads: Sequence[PlacedThread], query: ThreadQuery) -> ThreadPage:
    """One page of a section's threads, given in order; only their rollouts are read. Blocking.

    Threads that are on the other side of the archive, that cannot be read or that do not pass the filters are skipped.
    Raises InvalidCursor.
    """
    descending = query.sort_direction == "desc"
    after = None if query.cursor is None else _parse_cursor(query.cursor)
    rows: list[tuple[tuple[int, str], ThreadSummary]] = []
    for placed in reversed(threads) if descending else threads:
        place = (placed.position, placed.thread_id)
        if after is not None and not after.precedes(place, descending):
            continue
        if (found := _wanted(home, placed.thread_id, query)) is None:
            continue
        if len(rows) == query.rows:
            return ThreadPage([row for _, row in rows], _write_cursor(rows[-1][0]), _write_cursor(rows[0][0], True))
        rows.append((place, found))
    first = _write_cursor(rows[0][0], True) if rows else None
    return ThreadPage([row for _, row in rows], None, first)


def _wanted(home: Home, thread_id: str, query: ThreadQuery) -> ThreadSummary | None:
    if thread_id in query.excluded_ids or (query.only_ids is not None and thread_id not in query.only_ids):
        return None
    try:
        path = (locate_archived if query.archived else locate)(home, thread_id)
        if path is None:
            return None
        thread = read_summary(path, default_provider=query.default_provider)
    except (StoredThreadError, OSError) as error:
        if is_passing(error):
            raise
        return None
    return thread if wanted(thread, thread.name, query) else None


def _write_cursor(place: tuple[int, str], inclusive: bool = False) -> str:
    return f"{place[0]}|{place[1]}" + ("|from" if inclusive else "")


def _parse_cursor(text: str) -> _Cursor:
    number, *rest = text.split("|")
    if not number.isascii() or not number.isdecimal() or rest[1:] not in ([], ["from"]) or not rest:
        raise InvalidCursor(text)
    return _Cursor((int(number), rest[0]), inclusive=len(rest) == 2)
