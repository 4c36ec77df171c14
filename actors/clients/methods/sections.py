"""threadSection/* and thread/section/move: the user's own grouping of threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.stored import known
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.rpc.protocol.sections import (
    ThreadSectionChangedNotification,
    ThreadSectionCreateParams,
    ThreadSectionCreateResponse,
    ThreadSectionDeleteParams,
    ThreadSectionDeleteResponse,
    ThreadSectionListParams,
    ThreadSectionListResponse,
    ThreadSectionMoveParams,
    ThreadSectionMoveResponse,
    ThreadSectionUpdateParams,
    ThreadSectionUpdateResponse,
)
from spindle.storage.state import StateUnavailable
from spindle.storage.state.sections import (
    DEFAULT_LIMIT,
    SectionError,
    create_section,
    delete_section,
    list_sections,
    move_thread,
    pinned_only,
    update_section,
)

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend


def list_(caller: Caller, params: ThreadSectionListParams, reply: Reply[Any]) -> None:
    """threadSection/list"""
    limit = DEFAULT_LIMIT if params.limit is None else max(1, min(params.limit, DEFAULT_LIMIT))

    async def run() -> ThreadSectionListResponse:
        state = caller.backend.services.state
        try:
            found = await state.read(
                partial(list_sections, cursor=params.cursor, limit=limit + 1), pinned_only(params.cursor)
            )
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        page = found[:limit]
        return ThreadSectionListResponse(page, page[-1].id if len(found) > limit else None)

    caller.later(reply, run)


def create(caller: Caller, params: ThreadSectionCreateParams, reply: Reply[Any]) -> None:
    """threadSection/create"""

    async def run() -> ThreadSectionCreateResponse:
        return ThreadSectionCreateResponse(
            await _changed(caller.backend, lambda db: create_section(db, params.name, params.appearance))
        )

    caller.later(reply, run)


def update(caller: Caller, params: ThreadSectionUpdateParams, reply: Reply[Any]) -> None:
    """threadSection/update"""

    async def run() -> ThreadSectionUpdateResponse:
        return ThreadSectionUpdateResponse(
            await _changed(
                caller.backend,
                lambda db: update_section(db, params.section_id, params.name, params.appearance),
            )
        )

    caller.later(reply, run)


def delete(caller: Caller, params: ThreadSectionDeleteParams, reply: Reply[Any]) -> None:
    """threadSection/delete"""

    async def run() -> ThreadSectionDeleteResponse:
        await _changed(caller.backend, lambda db: delete_section(db, params.section_id))
        return ThreadSectionDeleteResponse()

    caller.later(reply, run)


def move(caller: Caller, params: ThreadSectionMoveParams, reply: Reply[Any]) -> None:
    """thread/section/move"""
    id, backend = thread_id(params.thread_id), caller.backend
    before = None if params.before_thread_id is None else thread_id(params.before_thread_id)

    async def run() -> None:
        await known(
            backend,
            id,
            missing=f"thread not found: {id}",
            ephemeral=f"ephemeral thread does not support section moves: {id}",
        )
        now = int(time.time())
        await _changed(backend, lambda db: move_thread(db, id, params.section_id, before, now), code=invalid_request)
        reply.resolve(ThreadSectionMoveResponse())
        backend.audience.announce(ThreadSectionChangedNotification(id, params.section_id))

    caller.quietly(reply, run)


async def _changed(
    backend: Backend,
    work: Callable[[Any], Any],
    code: Callable[[str], RpcError] = lambda text: RpcError(INVALID_PARAMS, text),
) -> Any:
    try:
        return await backend.services.state.change(work)
    except SectionError as error:
        raise code(str(error)) from error
    except StateUnavailable as error:
        raise internal_error(str(error)) from error
