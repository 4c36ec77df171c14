"""memory/* and thread/memory/read: the memories that Codex keeps in the home."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, ThreadNotFound, internal_error
from spindle.rpc.protocol.memories import (
    MemoryResetResponse,
    MemoryStatusParams,
    MemoryStatusResponse,
    ThreadMemoryReadParams,
    ThreadMemoryReadResponse,
)
from spindle.storage import memories

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

ENOUGH = 20
MOST = 4096


def reset(caller: Caller, params: None, reply: Reply[Any]) -> None:
    """memory/reset"""
    home = caller.backend.home

    async def run() -> MemoryResetResponse:
        try:
            await trio.to_thread.run_sync(memories.reset, home)
        except (OSError, sqlite3.Error) as error:
            raise internal_error(f"failed to clear memories under {home.path}: {error}") from error
        return MemoryResetResponse()

    caller.later(reply, run)


def status(caller: Caller, params: MemoryStatusParams, reply: Reply[Any]) -> None:
    """memory/status: the second form is ready if enough threads are in it, or there is no first one."""
    enough = ENOUGH if params.min_consolidated_threads is None else params.min_consolidated_threads
    if not 1 <= enough <= MOST:
        raise RpcError(INVALID_PARAMS, f"minConsolidatedThreads must be between 1 and {MOST}")
    home = caller.backend.home

    def work() -> MemoryStatusResponse:
        count = memories.consolidated(home)
        return MemoryStatusResponse(count, count >= enough or not memories.has_first(home))

    async def run() -> MemoryStatusResponse:
        return await trio.to_thread.run_sync(work)

    caller.later(reply, run)


def read(caller: Caller, params: ThreadMemoryReadParams, reply: Reply[Any]) -> None:
    """thread/memory/read: None unless `features.memories` is on and `memories.use_memories` is not off."""
    id, backend = thread_id(params.thread_id), caller.backend

    async def run() -> ThreadMemoryReadResponse:
        state = await backend.registry.look(id)
        if state is None:
            raise ThreadNotFound(f"thread not found: {id}")
        if not state.config.features("memories", False) or state.config.table("memories").get("use_memories") is False:
            return ThreadMemoryReadResponse()
        return ThreadMemoryReadResponse(await trio.to_thread.run_sync(memories.summary, backend.home))

    caller.later(reply, run)
