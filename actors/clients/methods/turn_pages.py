"""thread/turns/list, thread/items/* and thread/timeline/list: pages of what a thread shows, whether it is loaded or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.delivery.long_answers import unreadable
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import LoadedOrStored
from spindle.actors.registry.stored import read_stored
from spindle.actors.thread.messages import TakeSnapshot
from spindle.actors.thread.turn_pages import items_page, turns_page
from spindle.actors.thread.turn_pages import items_read as read_items
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.turn_pages import ThreadItemsListParams, ThreadItemsReadParams, ThreadTurnsListParams
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.source import RolloutChanged
from spindle.storage.threads.summary import read_summary

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend
    from spindle.rpc.protocol.timeline import ThreadTimelineListParams

P = TypeVar("P")

MOST_ITEMS = 100
"""How many items a request may read."""


def turns_list(caller: Caller, params: ThreadTurnsListParams, reply: Reply[Any]) -> None:
    """thread/turns/list"""
    _page(caller, "thread/turns/list", params, turns_page, reply)


def items_list(caller: Caller, params: ThreadItemsListParams, reply: Reply[Any]) -> None:
    """thread/items/list"""
    _page(caller, "thread/items/list", params, items_page, reply)


def items_read(caller: Caller, params: ThreadItemsReadParams, reply: Reply[Any]) -> None:
    """thread/items/read"""
    if not 1 <= len(params.item_ids) <= MOST_ITEMS:
        raise invalid_request(f"itemIds must contain 1 to {MOST_ITEMS} IDs")
    _page(caller, "thread/items/read", params, read_items, reply)


def timeline(caller: Caller, params: ThreadTimelineListParams, reply: Reply[Any]) -> None:
    """thread/timeline/list"""
    from spindle.actors.thread.timeline import timeline_page

    _page(caller, "thread/timeline/list", params, timeline_page, reply)


def _page(
    caller: Caller, method: str, params: P, read: Callable[[Snapshot, P], Any], reply: Reply[Any]
) -> None:
    id, backend = thread_id(params.thread_id), caller.backend  # type: ignore[attr-defined]

    def take(snapshot: Snapshot) -> None:
        def failed(error: Exception) -> None:  # perhaps before it is read: the client may have gone
            snapshot.close()
            reply.reject(error)

        caller.later(Reply(reply.resolve, failed), lambda: _read(snapshot, lambda: read(snapshot, params)))

    def absent() -> None:
        caller.later(Reply(take, reply.reject), lambda: _stored(backend, id))

    message = TakeSnapshot(reply=Reply(take, reply.reject), method=method)
    backend.registry.route(LoadedOrStored(id, message, absent))


async def _read(snapshot: Snapshot, read: Callable[[], Any]) -> Any:
    try:
        return await trio.to_thread.run_sync(read)
    except (OSError, RolloutChanged) as error:
        raise unreadable(error) from error
    finally:
        snapshot.close()


async def _stored(backend: Backend, id: str) -> Snapshot:
    def open_rollout(path: Path) -> Snapshot:
        read_summary(path)  # refuses a file that is not a rollout
        return Snapshot.stored(OpenRollout(path, backend.services.outliner))

    return await read_stored(backend, id, open_rollout)
