"""Search messages, in all stored threads or in one. From Codex 0.169, streams from 0.171."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.envelope import RequestId
from spindle.rpc.protocol.shapes import U32, Untagged
from spindle.rpc.protocol.threads import Thread, ThreadSourceKind
from spindle.rpc.protocol.turn_pages import SortDirection
from spindle.rpc.protocol.wire import Notification

ThreadSearchSortKey: TypeAlias = Literal["created_at", "updated_at", "recency_at"]


@frozen(kw_only=True)
class ThreadSearchParams:
    """Find threads with `search_term` in a message. `limit` counts threads."""

    include_attached_threads: bool = field(default=False, metadata={"experimental": True})
    current_account_only: bool = False
    cursor: str | None = None
    limit: U32 | None = None
    sort_key: ThreadSearchSortKey | None = None
    sort_direction: SortDirection | None = None
    source_kinds: Sequence[ThreadSourceKind] | None = None
    archived: bool | None = None
    search_term: str


@frozen
class ThreadSearchResult:
    """A thread, and the text around its first match."""

    thread: Thread
    snippet: str


@frozen
class ThreadSearchResponse:
    """One page; the cursors are those of `thread/list`."""

    data: Sequence[ThreadSearchResult]
    next_cursor: str | None = None
    backwards_cursor: str | None = None


@frozen
class ThreadSearchPartialNotification(Notification):
    """Results of a `thread/search/stream` that still runs; the answer has them again."""

    METHOD: ClassVar[str] = "thread/search/partial"
    request_id: RequestId
    data: Sequence[ThreadSearchResult]


@frozen
class ThreadSearchCancelParams:
    """End the search that this request of the client has started."""

    request_id: Annotated[RequestId, Untagged("RequestId")]


@frozen
class ThreadSearchCancelResponse:
    """The search has ended, or ends now."""


@frozen
class ThreadSearchOccurrencesParams:
    """Find all occurrences of `search_term` in one thread, ignoring case."""

    thread_id: str
    search_term: str
    cursor: str | None = None
    limit: U32 | None = None


@frozen
class ThreadSearchTextRange:
    """A half-open range, in UTF-16 code units."""

    start: int
    end: int


@frozen
class ThreadSearchOccurrence:
    """One occurrence. `turn_cursor` is a cursor of `thread/turns/list` that starts with its turn."""

    turn_id: str
    item_id: str
    snippet: str
    snippet_match_range: ThreadSearchTextRange
    turn_cursor: str


@frozen
class ThreadSearchOccurrencesResponse:
    """One page, in the order of the messages."""

    data: Sequence[ThreadSearchOccurrence]
    next_cursor: str | None = None
