"""thread/prepareApprovedPlan: a plan that the user has approved becomes part of a thread's history."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import mapped
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ToThread
from spindle.actors.settings.readable import readable_files
from spindle.actors.thread.messages import InjectItems
from spindle.actors.turn.context import message
from spindle.actors.turn.user_input import check_input
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, ThreadNotFound, invalid_request
from spindle.rpc.protocol.plans import ThreadPrepareApprovedPlanParams, ThreadPrepareApprovedPlanResponse
from spindle.rpc.protocol.user_input import TextInput
from spindle.storage.outside import read_file

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.thread.state import OpenedThread
    from spindle.storage.home import Home

LONGEST = 40_000
"""Bytes of a plan in the history."""


def prepare(caller: Caller, params: ThreadPrepareApprovedPlanParams, reply: Reply[Any]) -> None:
    """thread/prepareApprovedPlan"""
    id, plan, path = thread_id(params.thread_id), params.markdown, params.attachment_path
    if path is not None and not os.path.isabs(path):
        raise RpcError(INVALID_PARAMS, "`attachmentPath` must be absolute on the app server")
    check_input([TextInput(plan)])
    if not plan.strip():
        raise invalid_request("The approved plan is empty.")
    backend = caller.backend

    async def run() -> None:
        state = await backend.registry.look(id)
        if state is None:
            raise ThreadNotFound(f"thread not found: {id}")
        if path is not None and await trio.to_thread.run_sync(_shows, backend.home, state, path, plan.encode()):
            reply.resolve(ThreadPrepareApprovedPlanResponse(f"Read the approved plan at {path} and implement it."))
            return
        if len(plan.encode()) > LONGEST:
            raise invalid_request("The plan is too large for the thread's history, and the thread cannot read it from a file.")
        item = message("developer", f"The user has approved this plan:\n<approved_plan>\n{plan}\n</approved_plan>")
        backend.registry.route(ToThread(id, InjectItems(reply=mapped(reply, _inside), items=[item])))

    caller.quietly(reply, run)


def _inside(_: None) -> ThreadPrepareApprovedPlanResponse:
    return ThreadPrepareApprovedPlanResponse("Implement the plan.")


def _shows(home: Home, state: OpenedThread, path: str, plan: bytes) -> bool:
    """Whether the thread may read the file, and it has the plan."""
    try:
        return read_file(path, len(plan), readable_files(home, state.settings)) == plan
    except (OSError, ValueError):
        return False
