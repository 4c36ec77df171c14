"""Pages of a thread's timeline, from its end. Reading a page blocks: use a worker thread.

A position is the number of the turn and of the entry in it, so a page reads only the turns that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from spindle.actors.delivery.snapshot import Body, Snapshot
from spindle.actors.thread.turn_pages import page_size
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.timeline import (
    ItemThreadTimelineEntry,
    ThreadTimelineEntry,
    ThreadTimelineListParams,
    ThreadTimelineListResponse,
    TurnCompletedThreadTimelineEntry,
    TurnStartedThreadTimelineEntry,
)
from spindle.rpc.protocol.values import loads

_BITS = 24
_LAST = (1 << _BITS) - 1
"""The number of a turn's end in the turn."""


def timeline_page(snapshot: Snapshot, params: ThreadTimelineListParams) -> ThreadTimelineListResponse:
    """thread/timeline/list. Raises RpcError, OSError, RolloutChanged."""
    limit, before = page_size(params.limit), None if params.cursor is None else _position(params)
    turns = len(snapshot.ids) if before is None else min(len(snapshot.ids), (before >> _BITS) + 1)
    found: list[ThreadTimelineEntry] = []
    for number in reversed(range(turns)):
        (turn,) = snapshot.read([number])
        entries = _entries(number, turn)
        found[:0] = entries if before is None else [entry for entry in entries if entry.position < before]
        if len(found) > limit:
            break
    page = found[-limit:]
    return ThreadTimelineListResponse(page, _cursor(params, page[0].position) if len(found) > limit else None)


def _entries(number: int, turn: Body) -> Sequence[ThreadTimelineEntry]:
    base, items = number << _BITS, turn["items"][: _LAST - 1]
    begin = TurnStartedThreadTimelineEntry.of(base, turn)
    inside = [
        ItemThreadTimelineEntry(position=base + place, turn_id=turn["id"], item=item)
        for place, item in enumerate(items, 1)
    ]
    if turn["status"] == "inProgress":
        return [begin, *inside]
    return [begin, *inside, TurnCompletedThreadTimelineEntry.of(base + _LAST, turn)]


def _cursor(params: ThreadTimelineListParams, position: int) -> str:
    return orjson.dumps({"threadId": params.thread_id, "position": position}).decode()


def _position(params: ThreadTimelineListParams) -> int:
    try:
        given: Any = loads(params.cursor or "")
        position = given["position"]
        if given["threadId"] != params.thread_id or type(position) is not int or position < 0:
            raise ValueError
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise invalid_request("invalid thread timeline cursor") from None
    return position
