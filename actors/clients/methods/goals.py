"""thread/goal/*: what a thread is to achieve, and what it may cost."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.stored import known
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.goals import (
    ThreadGoalClearedNotification,
    ThreadGoalClearParams,
    ThreadGoalClearResponse,
    ThreadGoalGetParams,
    ThreadGoalGetResponse,
    ThreadGoalSetParams,
    ThreadGoalSetResponse,
    ThreadGoalUpdatedNotification,
)
from spindle.storage.state import StateUnavailable
from spindle.storage.state.goals import GoalError, clear_goal, get_goal, set_goal

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend


def get(caller: Caller, params: ThreadGoalGetParams, reply: Reply[Any]) -> None:
    """thread/goal/get"""
    id, backend = thread_id(params.thread_id), caller.backend

    async def run() -> ThreadGoalGetResponse:
        await _known(backend, id)
        try:
            found = await backend.services.state.read(partial(get_goal, thread_id=id), None)
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        return ThreadGoalGetResponse(None if found is None else found.goal)

    caller.later(reply, run)


def set_(caller: Caller, params: ThreadGoalSetParams, reply: Reply[Any]) -> None:
    """thread/goal/set"""
    id, backend = thread_id(params.thread_id), caller.backend

    async def run() -> None:
        await _known(backend, id)
        now = int(time.time())
        try:
            goal = await backend.services.state.change(partial(set_goal, params=params, thread_id=id, now=now))
        except GoalError as error:
            raise invalid_request(str(error)) from error
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        reply.resolve(ThreadGoalSetResponse(goal))
        backend.audience.announce(ThreadGoalUpdatedNotification(thread_id=id, goal=goal))

    caller.quietly(reply, run)


def clear(caller: Caller, params: ThreadGoalClearParams, reply: Reply[Any]) -> None:
    """thread/goal/clear"""
    id, backend = thread_id(params.thread_id), caller.backend

    async def run() -> None:
        await _known(backend, id)
        try:
            cleared = await backend.services.state.change(partial(clear_goal, thread_id=id))
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        reply.resolve(ThreadGoalClearResponse(cleared))
        if cleared:
            backend.audience.announce(ThreadGoalClearedNotification(id))

    caller.quietly(reply, run)


async def _known(backend: Backend, id: str) -> None:
    await known(
        backend,
        id,
        missing=f"thread not found: {id}",
        ephemeral=f"ephemeral thread does not support goals: {id}",
        archived=False,
    )
