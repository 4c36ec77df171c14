"""thread/turns/list and thread/items/list: a page of what a thread shows, whether it is loaded or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from spindle.actors.clients.methods.identity import thread_id
from spindle.actors.delivery.long_answers import unreadable
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import LoadedOrStored
from spindle.actors.thread.messages import TakeSnapshot
from spindle.actors.thread.turn_pages import items_page, turns_page
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError, invalid_request
from spindle.rpc.protocol.turn_pages import ThreadItemsListParams, ThreadTurnsListParams
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.source import RolloutChanged
from spindle.storage.threads.summary import read_summary
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    from spindle.actors.clients.connection import Connection
    from spindle.actors.runtime import Runtime

P = TypeVar("P")


def turns_list(connection: Connection, params: ThreadTurnsListParams, reply: Reply[Any]) -> None:
    """thread/turns/list"""
    _page(connection, "thread/turns/list", params, turns_page, reply)


def items_list(connection: Connection, params: ThreadItemsListParams, reply: Reply[Any]) -> None:
    """thread/items/list"""
    _page(connection, "thread/items/list", params, items_page, reply)


def _page(
    connection: Connection, method: str, params: P, read: Callable[[Snapshot, P], Any], reply: Reply[Any]
) -> None:
    id, runtime = thread_id(params.thread_id), connection.runtime  # type: ignore[attr-defined]

    def take(snapshot: Snapshot) -> None:
        def failed(error: Exception) -> None:  # perhaps before it is read: the client may have gone
            snapshot.close()
            reply.reject(error)

        connection.later(Reply(reply.resolve, failed), lambda: _read(snapshot, lambda: read(snapshot, params)))

    def absent() -> None:
        connection.later(Reply(take, reply.reject), lambda: _stored(runtime, id))

    message = TakeSnapshot(reply=Reply(take, reply.reject), method=method)
    runtime.registry.route(LoadedOrStored(id, message, absent))


async def _read(snapshot: Snapshot, read: Callable[[], Any]) -> Any:
    try:
        return await trio.to_thread.run_sync(read)
    except (OSError, RolloutChanged) as error:
        raise unreadable(error) from error
    finally:
        snapshot.close()


async def _stored(runtime: Runtime, id: str) -> Snapshot:
    services = runtime.services

    def work() -> Snapshot | None:
        path = services.indexing.locate(id) or services.indexing.locate_archived(id)
        if path is None:
            return None
        read_summary(path)  # refuses what is no rollout
        return Snapshot.stored(OpenRollout(path, services.outliner))

    try:
        snapshot = await trio.to_thread.run_sync(work)
    except (StoredThreadError, OSError) as error:
        raise RpcError(INTERNAL_ERROR, f"failed to read thread {id}: {error}") from error
    if snapshot is None:
        raise invalid_request(f"thread not loaded: {id}")
    return snapshot
