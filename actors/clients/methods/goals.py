"""thread/goal/*: what a thread is to achieve, and what it may cost."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from spindle.actors.clients.methods.identity import thread_id
from spindle.actors.clients.methods.stored import known
from spindle.actors.kernel.mailbox import Reply
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
    from spindle.actors.clients.connection import Connection
    from spindle.actors.runtime import Runtime


def get(connection: Connection, params: ThreadGoalGetParams, reply: Reply[Any]) -> None:
    """thread/goal/get"""
    id, runtime = thread_id(params.thread_id), connection.runtime

    async def run() -> ThreadGoalGetResponse:
        await _known(runtime, id)
        try:
            found = await runtime.services.state.read(partial(get_goal, thread_id=id), None)
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        return ThreadGoalGetResponse(None if found is None else found.goal)

    connection.later(reply, run)


def set_(connection: Connection, params: ThreadGoalSetParams, reply: Reply[Any]) -> None:
    """thread/goal/set"""
    id, runtime = thread_id(params.thread_id), connection.runtime

    async def run() -> None:
        await _known(runtime, id)
        now = int(time.time())
        try:
            goal = await runtime.services.state.change(partial(set_goal, params=params, thread_id=id, now=now))
        except GoalError as error:
            raise invalid_request(str(error)) from error
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        reply.resolve(ThreadGoalSetResponse(goal))
        runtime.audience.announce(ThreadGoalUpdatedNotification(thread_id=id, goal=goal))

    connection.quietly(reply, run)


def clear(connection: Connection, params: ThreadGoalClearParams, reply: Reply[Any]) -> None:
    """thread/goal/clear"""
    id, runtime = thread_id(params.thread_id), connection.runtime

    async def run() -> None:
        await _known(runtime, id)
        try:
            cleared = await runtime.services.state.change(partial(clear_goal, thread_id=id))
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        reply.resolve(ThreadGoalClearResponse(cleared))
        if cleared:
            runtime.audience.announce(ThreadGoalClearedNotification(id))

    connection.quietly(reply, run)


async def _known(runtime: Runtime, id: str) -> None:
    await known(
        runtime,
        id,
        missing=f"thread not found: {id}",
        ephemeral=f"ephemeral thread does not support goals: {id}",
        archived=False,
    )
