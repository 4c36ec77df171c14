"""thread/queue/*: input that waits on disk until it becomes a turn, of a thread that is loaded or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio
from uuid_utils import uuid7

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import based_input, mapped
from spindle.actors.kernel.mailbox import Ask, Reply
from spindle.actors.registry.messages import LoadedOrStored, Occupying
from spindle.actors.thread.messages import ChangeQueue, ReadQueue, StartQueued
from spindle.actors.thread.turns.submissions import answered
from spindle.actors.turn.metadata import given
from spindle.actors.turn.user_input import check_input
from spindle.rpc.protocol.errors import ThreadNotFound, internal_error, invalid_request
from spindle.rpc.protocol.queue import (
    QueuedSubmission,
    ThreadQueueAddParams,
    ThreadQueueAddResponse,
    ThreadQueueDeleteParams,
    ThreadQueueDeleteResponse,
    ThreadQueueListParams,
    ThreadQueueListResponse,
    ThreadQueueReorderParams,
    ThreadQueueReorderResponse,
    ThreadQueueStartParams,
    ThreadQueueStartResponse,
    ThreadQueueUpdateParams,
    ThreadQueueUpdateResponse,
)
from spindle.storage.state import queue
from spindle.storage.threads.locate import locate, locate_archived

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend
    from spindle.rpc.protocol.user_input import UserInput

PAGE = 25
LARGEST_PAGE = 100


def add(caller: Caller, params: ThreadQueueAddParams, reply: Reply[Any]) -> None:
    """thread/queue/add"""
    id = thread_id(params.thread_id)
    given({}, params.responsesapi_client_metadata, None)
    entry = QueuedSubmission(
        id=str(uuid7()),
        input=_checked(caller, params.input),
        client_user_message_id=params.client_user_message_id,
        responsesapi_client_metadata=params.responsesapi_client_metadata,
    )

    def work(db: sqlite3.Connection) -> tuple[ThreadQueueAddResponse, bool]:
        queue.add(db, id, entry)
        return ThreadQueueAddResponse(entry), True

    _change(caller, id, reply, work)


def list_(caller: Caller, params: ThreadQueueListParams, reply: Reply[Any]) -> None:
    """thread/queue/list: the cursor is the number of entries before the page."""
    id = thread_id(params.thread_id)
    limit = PAGE if params.limit is None else max(1, min(params.limit, LARGEST_PAGE))
    start = 0
    if params.cursor is not None:
        if not (params.cursor.isascii() and params.cursor.isdigit() and len(params.cursor) < 10):
            raise invalid_request(f"invalid queue pagination cursor: {params.cursor}")
        start = int(params.cursor)

    def work(db: sqlite3.Connection) -> ThreadQueueListResponse:
        found = queue.page(db, id, start, limit + 1)
        return ThreadQueueListResponse(found[:limit], str(start + limit) if len(found) > limit else None)

    empty = ThreadQueueListResponse(())
    message = ReadQueue(reply=reply, work=work, empty=empty)
    _route(caller, id, message, lambda: caller.backend.services.state.read(work, empty))


def update(caller: Caller, params: ThreadQueueUpdateParams, reply: Reply[Any]) -> None:
    """thread/queue/update"""
    id, content = thread_id(params.thread_id), _checked(caller, params.input)
    given({}, params.responsesapi_client_metadata, None)

    def work(db: sqlite3.Connection) -> tuple[ThreadQueueUpdateResponse, bool]:
        entry = queue.update(db, id, params.queued_submission_id, content, params.responsesapi_client_metadata)
        return ThreadQueueUpdateResponse(entry), True

    _change(caller, id, reply, work)


def delete(caller: Caller, params: ThreadQueueDeleteParams, reply: Reply[Any]) -> None:
    """thread/queue/delete"""
    id = thread_id(params.thread_id)

    def work(db: sqlite3.Connection) -> tuple[ThreadQueueDeleteResponse, bool]:
        deleted = queue.delete(db, id, params.queued_submission_id)
        return ThreadQueueDeleteResponse(deleted), deleted

    _change(caller, id, reply, work)


def reorder(caller: Caller, params: ThreadQueueReorderParams, reply: Reply[Any]) -> None:
    """thread/queue/reorder"""
    id = thread_id(params.thread_id)

    def work(db: sqlite3.Connection) -> tuple[ThreadQueueReorderResponse, bool]:
        return ThreadQueueReorderResponse(), queue.reorder(db, id, params.queued_submission_ids)

    _change(caller, id, reply, work)


def start(caller: Caller, params: ThreadQueueStartParams, reply: Reply[Any]) -> None:
    """thread/queue/start: of a loaded thread"""

    async def stored() -> None:
        raise invalid_request("resume the thread before starting a queued message")

    id = thread_id(params.thread_id)
    message = StartQueued(reply=mapped(reply, ThreadQueueStartResponse), id=params.queued_submission_id)
    _route(caller, id, message, stored)


def _checked(caller: Caller, content: Sequence[UserInput]) -> Sequence[UserInput]:
    if not content:
        raise invalid_request("only user input can be added to the user-message queue")
    check_input(content)
    return based_input(caller, content)


def _change(
    caller: Caller, id: str, reply: Reply[Any], work: Callable[[sqlite3.Connection], tuple[Any, bool]]
) -> None:
    async def stored() -> Any:
        answer, _ = await caller.backend.services.state.change(work)
        return answer

    _route(caller, id, ChangeQueue(reply=reply, work=work), stored)


def _route(caller: Caller, id: str, message: Ask[Any], stored: Callable[[], Awaitable[Any]]) -> None:
    """Have a loaded thread do it; of one that is not loaded, the answer is that of `stored`. Nothing loads it meanwhile."""

    async def work() -> None:
        await trio.to_thread.run_sync(_check_stored, caller.backend, id)
        message.reply.resolve(await answered(stored()))

    caller.backend.registry.route(LoadedOrStored(id, message, Occupying(work)))


def _check_stored(backend: Backend, id: str) -> None:
    """Raises RpcError unless the thread has a rollout that is not archived. Blocks on the disk."""
    home = backend.services.home
    try:
        if locate(home, id) is not None:
            return
        if locate_archived(home, id) is not None:
            raise invalid_request(f"thread {id} is archived; unarchive it first")
    except OSError as error:
        raise internal_error(f"failed to look for thread {id}: {error}") from error
    raise ThreadNotFound(f"no rollout found for thread id {id}")
