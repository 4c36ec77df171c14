"""`thread/list`: filters, order, pages.

A page costs what it shows: by creation, day folders are opened one after the other and only the heads of files that may
be shown are read. By change, every file's time has to be asked for, but again only the heads of a page are read.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

from attrs import frozen

from spindle.storage.home import Home
from spindle.storage.threads.errors import InvalidCursor, StoredThreadError
from spindle.storage.threads.lineage import lineage, parent_of
from spindle.storage.threads.locate import day_folders, rollouts_in
from spindle.storage.threads.names import read_names
from spindle.storage.threads.summary import Head, SummaryCache, ThreadSummary, read_head, summarize

DEFAULT_LIMIT = 25
LARGEST_LIMIT = 100
_INTERACTIVE = frozenset({"cli", "vscode"})
_PLAIN = _INTERACTIVE | {"exec", "appServer"}
_SUB_AGENTS = {"review": "subAgentReview", "compact": "subAgentCompact"}


@frozen
class ThreadQuery:
    """What to list. The members are those of `thread/list`'s params; an empty `cwd` matches nothing.

    `model_providers` None means `default_provider` only, an empty one all; the default provider also stands in for
    rollouts that name none. `source_kinds` None or empty means cli and vscode. `limit` None is 25; 1 to 100 otherwise.
    `only_ids` None means any. `parent_thread_id` lists what that thread spawned itself, `ancestor_thread_id` also what
    those spawned in turn; both of any source unless `source_kinds` says otherwise.
    """

    cursor: str | None = None
    limit: int | None = None
    sort_key: Literal["created_at", "updated_at", "recency_at"] = "created_at"
    sort_direction: Literal["asc", "desc"] = "desc"
    model_providers: Sequence[str] | None = None
    source_kinds: Sequence[str] | None = None
    archived: bool = False
    cwd: Sequence[str] | None = None
    search_term: str | None = None
    default_provider: str = "openai"
    excluded_ids: Collection[str] = ()
    only_ids: Collection[str] | None = None
    parent_thread_id: str | None = None
    ancestor_thread_id: str | None = None


@frozen
class ThreadPage:
    """One page. `next_cursor` continues in the same direction, and is None at the end.

    `backwards_cursor` begins the opposite direction, with the first thread of this page again; None for an empty page.
    """

    data: Sequence[ThreadSummary]
    next_cursor: str | None
    backwards_cursor: str | None


@frozen(order=True)
class _Place:
    """Where a thread stands in the order: milliseconds, and its id among those of the same millisecond."""

    millis: int
    thread_id: str


@frozen
class _Cursor:
    """A place to go on from. Without a thread id it is a bare time, and everything at that time lies behind it."""

    millis: int
    thread_id: str | None
    inclusive: bool

    def precedes(self, place: _Place, newest_first: bool) -> bool:
        """Whether `place` is still to come."""
        if place.millis != self.millis or self.thread_id is None:
            return place.millis < self.millis if newest_first else place.millis > self.millis
        if place.thread_id == self.thread_id:
            return self.inclusive
        return (place.thread_id < self.thread_id) == newest_first


def list_threads(home: Home, query: ThreadQuery, cache: SummaryCache | None = None) -> ThreadPage:
    """One page of stored threads. A thread that stays as it is appears on exactly one page, whatever times are shared.

    Files that cannot be read as a thread, and threads nobody asked anything, are left out.
    Raises InvalidCursor, OSError if the folders cannot be read.
    """
    newest_first = query.sort_direction == "desc"
    cursor = None if query.cursor is None else _parse_cursor(query.cursor)
    limit = DEFAULT_LIMIT if query.limit is None else min(max(query.limit, 1), LARGEST_LIMIT)
    names = cache.names(home) if cache is not None else read_names(home)
    only = query.only_ids
    if query.ancestor_thread_id is not None:
        only = frozenset(lineage(home, query.ancestor_thread_id, cache or SummaryCache()).descendants)
    places = _by_change if query.sort_key != "created_at" else _by_creation
    rows: list[tuple[_Place, ThreadSummary]] = []
    for place, path in places(home, query.archived, newest_first, cursor):
        if cursor is not None and not cursor.precedes(place, newest_first):
            continue
        if place.thread_id in query.excluded_ids or (only is not None and place.thread_id not in only):
            continue
        try:
            stat = os.stat(path)
            head = cache.head(path, stat) if cache is not None else read_head(path)
        except (StoredThreadError, OSError):
            continue
        if not _wanted(head, names.get(head.id), query):
            continue
        if len(rows) == limit:
            return _page(rows, more=True)
        rows.append((place, summarize(head, Path(path), stat, names, query.default_provider)))
    return _page(rows, more=False)


def _page(rows: Sequence[tuple[_Place, ThreadSummary]], *, more: bool) -> ThreadPage:
    return ThreadPage(
        data=[summary for _, summary in rows],
        next_cursor=_write_cursor(rows[-1][0], inclusive=False) if more else None,
        backwards_cursor=_write_cursor(rows[0][0], inclusive=True) if rows else None,
    )


def _by_creation(
    home: Home, archived: bool, newest_first: bool, cursor: _Cursor | None
) -> Iterator[tuple[_Place, str]]:
    folders = [home.archived_sessions] if archived else day_folders(home.sessions, newest_first=newest_first)
    border = (
        None if cursor is None or archived else datetime.fromtimestamp(cursor.millis / 1000, UTC).strftime("%Y%m%d")
    )
    for folder in folders:
        if border is not None:
            day = "".join(folder.parts[-3:])
            if day > border if newest_first else day < border:
                continue
        found: list[tuple[_Place, str]] = []
        for name, path in rollouts_in(folder):
            try:
                found.append((_Place(name.millis, name.thread_id), path))
            except ValueError:
                continue
        yield from sorted(found, reverse=newest_first)


def _by_change(home: Home, archived: bool, newest_first: bool, cursor: _Cursor | None) -> Iterator[tuple[_Place, str]]:
    folders = [home.archived_sessions] if archived else day_folders(home.sessions, newest_first=newest_first)
    found: list[tuple[_Place, str]] = []
    for folder in folders:
        for name, path in rollouts_in(folder):
            try:
                changed = os.stat(path).st_mtime_ns // 1_000_000
            except OSError:
                continue
            place = _Place(changed, name.thread_id)
            if cursor is None or cursor.precedes(place, newest_first):
                found.append((place, path))
    return iter(sorted(found, reverse=newest_first))


def _wanted(thread: Head, name: str | None, query: ThreadQuery) -> bool:
    if not thread.has_user_message:
        return False
    providers = [query.default_provider] if query.model_providers is None else query.model_providers
    if providers and (thread.model_provider or query.default_provider) not in providers:
        return False
    if query.parent_thread_id is not None and parent_of(thread) != query.parent_thread_id:
        return False
    spawned = query.parent_thread_id is not None or query.ancestor_thread_id is not None
    if not (spawned and not query.source_kinds) and source_kinds(thread.source).isdisjoint(
        query.source_kinds or _INTERACTIVE
    ):
        return False
    if query.cwd is not None and thread.cwd not in query.cwd:
        return False
    term = query.search_term
    return not term or term in thread.preview or (name is not None and term in name)


def source_kinds(source: object) -> frozenset[str]:
    """The `ThreadSourceKind`s a protocol source falls under; sources of other programs count as `unknown`."""
    if isinstance(source, str):
        return frozenset({source if source in _PLAIN else "unknown"})
    if not isinstance(source, dict) or "subAgent" not in source:
        return frozenset({"unknown"})
    kind = cast("dict[str, object]", source)["subAgent"]
    if isinstance(kind, dict):
        return frozenset({"subAgent", "subAgentThreadSpawn" if "thread_spawn" in kind else "subAgentOther"})
    return frozenset({"subAgent", _SUB_AGENTS.get(str(kind), "subAgentOther")})


def _write_cursor(place: _Place, *, inclusive: bool) -> str:
    seconds, millis = divmod(place.millis, 1000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{millis:03}Z|{place.thread_id}" + ("|from" if inclusive else "")


def _parse_cursor(text: str) -> _Cursor:
    """Read a cursor of ours, or a bare time as other app servers give them out."""
    stamp, *rest = text.split("|")
    if len(rest) > 2 or rest[1:] not in ([], ["from"]) or (rest and not rest[0]):
        raise InvalidCursor(text)
    # Also the form of file names, with dashes in the time of day.
    date, separator, time = stamp.partition("T")
    if separator and time.count("-") == 2 and ":" not in time:
        stamp = f"{date}T{time.replace('-', ':')}"
    try:
        at = datetime.fromisoformat(stamp) if separator else None
    except ValueError:
        at = None
    if at is None:
        raise InvalidCursor(text)
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    millis = int(at.replace(microsecond=0).timestamp()) * 1000 + at.microsecond // 1000
    return _Cursor(millis, rest[0] if rest else None, inclusive=len(rest) == 2)
