"""The queries of `thread/list`, the order of threads, and the cursors between pages.

Lists from the files and lists from the index share all of this, so paging may start with one and continue with the
other.
"""

from collections.abc import Collection, Sequence, Set
from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

from attrs import frozen

from spindle.storage.threads.summary import Head, ThreadSummary, parent_of
from spindle.storage.threads.thread_errors import InvalidCursor

DEFAULT_LIMIT = 25
LARGEST_LIMIT = 100
INTERACTIVE = frozenset({"cli", "vscode"})
ALL_KINDS = (
    "cli",
    "vscode",
    "exec",
    "appServer",
    "subAgent",
    "subAgentReview",
    "subAgentCompact",
    "subAgentThreadSpawn",
    "subAgentOther",
    "unknown",
)
_PLAIN = INTERACTIVE | {"exec", "appServer"}
_SUB_AGENTS = {"review": "subAgentReview", "compact": "subAgentCompact"}


@frozen
class ThreadQuery:
    """A query, with the members of `thread/list`'s params; an empty `cwd` matches nothing.

    `model_providers` None means `default_provider` only, an empty list all; rollouts without a provider count as the
    default provider's. `source_kinds` None or empty means cli and vscode. `limit` None is 25, else it is clamped to
    1..100. `recency_at` equals `updated_at`. `only_ids` None means any. `parent_thread_id` lists threads spawned by
    that thread, `ancestor_thread_id` also those spawned by them.
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
    only_ids: Set[str] | None = None
    parent_thread_id: str | None = None
    ancestor_thread_id: str | None = None

    @property
    def newest_first(self) -> bool:
        """Whether the order is descending."""
        return self.sort_direction == "desc"

    @property
    def by_change(self) -> bool:
        """Whether threads are ordered by the time of the last change, not of creation."""
        return self.sort_key != "created_at"

    @property
    def plain(self) -> bool:
        """Whether a page costs hardly more files than it shows: in the order of the files' names, without a narrow filter."""
        narrow = (self.cwd, self.search_term, self.only_ids, self.parent_thread_id, self.ancestor_thread_id)
        return not self.by_change and not self.archived and all(filter is None for filter in narrow)

    @property
    def rows(self) -> int:
        """The most threads of a page."""
        return DEFAULT_LIMIT if self.limit is None else min(max(self.limit, 1), LARGEST_LIMIT)

    @property
    def after(self) -> "Cursor | None":
        """The decoded cursor. Raises InvalidCursor."""
        return None if self.cursor is None else parse_cursor(self.cursor)

    @property
    def providers(self) -> Collection[str]:
        """The wanted providers; empty for all."""
        return [self.default_provider] if self.model_providers is None else self.model_providers

    @property
    def kinds(self) -> Collection[str]:
        """The wanted kinds of source; a query for descendants need not name theirs."""
        if self.source_kinds:
            return self.source_kinds
        family = self.parent_thread_id is not None or self.ancestor_thread_id is not None
        return ALL_KINDS if family else INTERACTIVE


@frozen
class ThreadPage:
    """One page. `next_cursor` continues in the same direction; None at the end.

    `backwards_cursor` starts in the opposite direction, with the first thread of this page; None for an empty page.
    """

    data: Sequence[ThreadSummary]
    next_cursor: str | None
    backwards_cursor: str | None


class ListPosition(NamedTuple):
    """A thread's place in the order: milliseconds, then its id."""

    millis: int
    thread_id: str


@frozen
class Cursor:
    """A place to continue from. Without a thread id it is a time, and threads at that time come after it."""

    millis: int
    thread_id: str | None
    inclusive: bool

    def precedes(self, place: ListPosition, newest_first: bool) -> bool:
        """Whether `place` comes after it."""
        if place.millis != self.millis or self.thread_id is None:
            return place.millis < self.millis if newest_first else place.millis > self.millis
        if place.thread_id == self.thread_id:
            return self.inclusive
        return (place.thread_id < self.thread_id) == newest_first


def page_of(rows: Sequence[tuple[ListPosition, ThreadSummary]], *, more: bool) -> ThreadPage:
    """The page with `rows`; `more` is whether other rows follow."""
    return ThreadPage(
        data=[summary for _, summary in rows],
        next_cursor=write_cursor(rows[-1][0], inclusive=False) if more else None,
        backwards_cursor=write_cursor(rows[0][0], inclusive=True) if rows else None,
    )


def wanted(thread: Head | ThreadSummary, name: str | None, query: ThreadQuery) -> bool:
    """Whether a thread passes the filters, except `ancestor_thread_id` and the ids."""
    if not thread.has_user_message:
        return False
    if query.providers and (thread.model_provider or query.default_provider) not in query.providers:
        return False
    if source_kinds(thread.source).isdisjoint(query.kinds):
        return False
    if query.cwd is not None and thread.cwd not in query.cwd:
        return False
    if query.parent_thread_id is not None and parent_of(thread.source) != query.parent_thread_id:
        return False
    term = query.search_term
    return not term or term in thread.preview or (name is not None and term in name)


def source_kinds(source: object) -> frozenset[str]:
    """The `ThreadSourceKind`s of a protocol source; sources of other programs count as `unknown`."""
    if isinstance(source, str):
        return frozenset({source if source in _PLAIN else "unknown"})
    if not isinstance(source, dict) or "subAgent" not in source:
        return frozenset({"unknown"})
    kind = cast("dict[str, object]", source)["subAgent"]
    if isinstance(kind, dict):
        return frozenset({"subAgent", "subAgentThreadSpawn" if "thread_spawn" in kind else "subAgentOther"})
    return frozenset({"subAgent", _SUB_AGENTS.get(str(kind), "subAgentOther")})


def write_cursor(place: ListPosition, *, inclusive: bool) -> str:
    """The cursor that continues after a place, or with it."""
    seconds, millis = divmod(place.millis, 1000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{millis:03}Z|{place.thread_id}" + ("|from" if inclusive else "")


def parse_cursor(text: str) -> Cursor:
    """Decode a cursor of ours, or a time as other app servers use it."""
    stamp, *rest = text.split("|")
    if len(rest) > 2 or rest[1:] not in ([], ["from"]) or (rest and not rest[0]):
        raise InvalidCursor(text)
    # Also the form in file names, with dashes in the time of day.
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
    return Cursor(millis, rest[0] if rest else None, inclusive=len(rest) == 2)
