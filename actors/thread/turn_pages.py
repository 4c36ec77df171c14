"""Pages of a thread's turns and items, and the cursors between them. Reading a page blocks: use a worker thread.

A cursor is JSON, as in Codex: {"turnId", "includeAnchor"} for turns, and for items with "itemId" (null: behind the turn's
last item). "at" is the turn's number: two turns may have the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from spindle.actors.delivery.snapshot import Body, Snapshot
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, invalid_request
from spindle.rpc.protocol.turn_pages import (
    ThreadItemEntry,
    ThreadItemsListParams,
    ThreadItemsListResponse,
    ThreadItemsReadParams,
    ThreadItemsReadResponse,
    ThreadTurnsListParams,
    ThreadTurnsListResponse,
)
from spindle.rpc.protocol.values import loads

PAGE = 25
LARGEST_PAGE = 100

_ANCHOR_GONE = "invalid cursor: anchor {} is no longer present"


@frozen
class _Anchor:
    """`turn` is the turn's number, `item` the id of an item in it, or None for the turn's end."""

    turn: int
    item: str | None
    included: bool


def page_size(limit: int | None) -> int:
    """How many entries a page has."""
    return PAGE if limit is None else min(max(1, limit), LARGEST_PAGE)


def _anchor(cursor: str, snapshot: Snapshot) -> _Anchor:
    """Raises RpcError."""
    try:
        given: Any = loads(cursor)
        id, included, at, item = given["turnId"], given["includeAnchor"], given.get("at"), given.get("itemId")
        if not isinstance(id, str) or type(included) is not bool or not (item is None or isinstance(item, str)):
            raise ValueError
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
        raise invalid_request(f"invalid cursor: {cursor}") from None
    ids = snapshot.ids
    if type(at) is int and 0 <= at < len(ids) and ids[at] == id:
        return _Anchor(at, item, included)
    if id not in ids:
        raise invalid_request(_ANCHOR_GONE.format("turn"))
    return _Anchor(ids.index(id), item, included)


def _cursor(snapshot: Snapshot, turn: int, included: bool, **item: str | None) -> str:
    body = {"turnId": snapshot.ids[turn], **item, "includeAnchor": included, "at": turn}
    return orjson.dumps(body).decode()


def end_cursors(snapshot: Snapshot) -> tuple[str | None, str | None]:
    """(the cursor to page backwards through turns, the same through items); None without a turn"""
    if not snapshot.ids:
        return None, None
    last = len(snapshot.ids) - 1
    return _cursor(snapshot, last, True), _cursor(snapshot, last, True, itemId=None)


def turns_page(snapshot: Snapshot, params: ThreadTurnsListParams) -> ThreadTurnsListResponse:
    """thread/turns/list. Raises RpcError, OSError, RolloutChanged."""
    count, limit = len(snapshot.ids), page_size(params.limit)
    descending = params.sort_direction != "asc"
    step = -1 if descending else 1
    start = count - 1 if descending else 0
    if params.cursor is not None:
        anchor = _anchor(params.cursor, snapshot)
        start = anchor.turn if anchor.included else anchor.turn + step
    numbers = range(start, -1 if descending else count, step)[:limit]
    if not numbers:
        return ThreadTurnsListResponse([])
    data = [_viewed(turn, params.items_view or "full") for turn in snapshot.read(sorted(numbers))]
    more = numbers[-1] > 0 if descending else numbers[-1] < count - 1
    return ThreadTurnsListResponse(
        data[::-1] if descending else data,
        _cursor(snapshot, numbers[-1], False) if more else None,
        _cursor(snapshot, numbers[0], True),
    )


def _viewed(turn: Body, view: str) -> Body:
    """A turn with all items, without items, or with the first message of the user and the last of the agent."""
    items: list[Body] = turn["items"]
    if view == "notLoaded":
        items = []
    elif view == "summary":
        asked = next((item for item in items if item["type"] == "userMessage"), None)
        last = next((item for item in reversed(items) if item["type"] == "agentMessage"), None)
        items = [item for item in (asked, last) if item is not None]
    return turn | {"items": items, "itemsView": view}


def items_page(snapshot: Snapshot, params: ThreadItemsListParams) -> ThreadItemsListResponse:
    """thread/items/list: ascending by default, of one turn if `turn_id` is given. Raises as `turns_page`."""
    limit, descending = page_size(params.limit), params.sort_direction == "desc"
    turns = range(len(snapshot.ids))
    if params.turn_id is not None:
        turns = range(0) if params.turn_id not in snapshot.ids else _only(snapshot.ids.index(params.turn_id))
    anchor = _item_anchor(snapshot, params, turns)
    if anchor is not None:
        turns = range(turns.start, anchor.turn + 1) if descending else range(anchor.turn, turns.stop)
    entries: list[tuple[int, Body]] = []
    for number, item in _items(snapshot, turns[::-1] if descending else turns, anchor, descending):
        entries.append((number, item))
        if len(entries) > limit:
            break
    if not entries:
        return ThreadItemsListResponse([])
    page = entries[:limit]
    return ThreadItemsListResponse(
        [ThreadItemEntry(turn_id=snapshot.ids[number], item=item) for number, item in page],
        _item_cursor(snapshot, page[-1], False) if len(entries) > limit else None,
        _item_cursor(snapshot, page[0], True),
    )


def items_read(snapshot: Snapshot, params: ThreadItemsReadParams) -> ThreadItemsReadResponse:
    """thread/items/read: of one turn, in their order; what it does not have is left out. Raises as `turns_page`."""
    if params.turn_id not in snapshot.ids:
        return ThreadItemsReadResponse([])
    (turn,) = snapshot.read(_only(snapshot.ids.index(params.turn_id)))
    wanted, id = set(params.item_ids), params.turn_id
    return ThreadItemsReadResponse(
        [ThreadItemEntry(turn_id=id, item=item) for item in turn["items"] if item["id"] in wanted]
    )


def _only(number: int) -> range:
    return range(number, number + 1)


def _item_cursor(snapshot: Snapshot, entry: tuple[int, Body], included: bool) -> str:
    return _cursor(snapshot, entry[0], included, itemId=entry[1]["id"])


def _item_anchor(snapshot: Snapshot, params: ThreadItemsListParams, turns: range) -> _Anchor | None:
    match params.cursor:
        case None:
            return None
        case str() as cursor:
            return _anchor(cursor, snapshot)
        case {"type": "item", "itemId": str() as item}:
            if not params.turn_id:
                raise RpcError(INVALID_PARAMS, "turnId is required when cursor is an item anchor")
            if not turns:
                raise RpcError(INVALID_PARAMS, _NO_ITEM)
            return _Anchor(turns[0], item, False)
        case other:
            raise invalid_request(f"invalid cursor: {orjson.dumps(other).decode()}")


_NO_ITEM = "cursor.itemId does not identify an item in the requested history scope"


def _items(snapshot: Snapshot, turns: range, anchor: _Anchor | None, descending: bool) -> Iterator[tuple[int, Body]]:
    """The items of the turns in their order, from the anchor on. Each turn is read when its items are needed."""
    for number in turns:
        (turn,) = snapshot.read(_only(number))
        items: list[Body] = turn["items"]
        if descending:
            items = items[::-1]
        if anchor is not None and anchor.turn == number:
            items = _from_anchor(items, anchor, descending)
        for item in items:
            yield number, item


def _from_anchor(items: list[Body], anchor: _Anchor, descending: bool) -> list[Body]:
    if anchor.item is None:
        return items if descending else []
    for place, item in enumerate(items):
        if item["id"] == anchor.item:
            return items[place if anchor.included else place + 1 :]
    raise RpcError(INVALID_PARAMS, _NO_ITEM)
