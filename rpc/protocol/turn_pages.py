"""Pages of one thread: its turns, and its items."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32, JsonObject
from spindle.rpc.protocol.turns import TurnItemsView

SortDirection: TypeAlias = Literal["asc", "desc"]


@frozen
class ThreadTurnsListParams:
    """Page through a thread's turns."""

    thread_id: str
    cursor: str | None = None
    limit: U32 | None = None
    sort_direction: SortDirection | None = None
    items_view: TurnItemsView | None = None
    """How much of the items to return; default: all."""


@frozen
class ThreadTurnsListResponse:
    """One page of turns, in the JSON form of `Turn`."""

    data: Sequence[JsonObject]
    next_cursor: str | None = None
    backwards_cursor: str | None = None


@frozen(kw_only=True)
class InitialTurnsPageParams:
    """The page of turns in the answer to a resume, as in `thread/turns/list`."""

    limit: U32 | None = None
    sort_direction: SortDirection | None = None
    items_view: TurnItemsView | None = None


@frozen(kw_only=True)
class ThreadItemsListParams:
    """Page through the items of a thread or of one turn.

    `cursor` is a string, or with a turn {"type": "item", "itemId": …}: the page starts after that item.
    """

    thread_id: str
    turn_id: str | None = None
    cursor: object = None
    limit: U32 | None = None
    sort_direction: SortDirection | None = None


@frozen(kw_only=True)
class ThreadItemEntry:
    """An item and its turn. Times are Unix milliseconds, if they were recorded."""

    turn_id: str
    item: JsonObject
    started_at_ms: int | None = None
    completed_at_ms: int | None = None


@frozen
class ThreadItemsListResponse:
    """One page of items."""

    data: Sequence[ThreadItemEntry]
    next_cursor: str | None = None
    backwards_cursor: str | None = None


@frozen
class ThreadItemsReadParams:
    """Read some items of one turn, 1 to 100."""

    thread_id: str
    turn_id: str
    item_ids: Sequence[str]


@frozen
class ThreadItemsReadResponse:
    """Those of them that the turn has, in its order."""

    data: Sequence[ThreadItemEntry]
