"""A loaded thread as clients see it: its description, its turns, and the answers to a start and a resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from spindle.actors.delivery.description import described
from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.settings.permissions import profile_of
from spindle.actors.settings.settings import Settings, mode_of
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import ReadThread, TakeSnapshot
from spindle.actors.thread.turn_pages import end_cursors, turns_page
from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import LOCAL_ENVIRONMENT
from spindle.rpc.protocol.threads import (
    Thread,
    ThreadEnvironment,
    ThreadReadResponse,
    ThreadResumeParams,
    ThreadResumeResponse,
    ThreadStartResponse,
)
from spindle.rpc.protocol.turn_pages import ThreadTurnsListParams, ThreadTurnsListResponse
from spindle.rpc.protocol.turns import Turn
from spindle.storage.state.goals import StoredGoal, get_goal
from spindle.storage.state.read_states import read_state
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.summary import parent_of

if TYPE_CHECKING:
    import sqlite3

    from spindle.rpc.protocol.read_states import ThreadReadState


def describe(thread: ThreadCore, turns: list[Turn] | None = None) -> Thread:
    """The thread as clients see it, without what is stored outside its rollout."""
    state, meta = thread.state, thread.state.conversation.meta
    return described(
        state,
        id=thread.thread_id,
        session_id=thread.thread_id,
        parent_thread_id=parent_of(state.source),
        history_mode="paginated" if state.conversation.paginated else "legacy",
        model_provider=state.settings.model_provider,
        status=thread.status,
        path=None if state.conversation.path is None else str(state.conversation.path),
        cwd=state.settings.cwd,
        originator=meta.get("originator"),
        thread_source=meta.get("thread_source"),
        git_info=state.git,
        turns=tuple(turns or ()),
        ephemeral=state.ephemeral,
        project_id=state.project_id,
        model=state.settings.model,
        reasoning_effort=state.settings.effort,
        can_accept_direct_input=True,
        environments=_environments(state.settings),
    )


async def kept(thread: ThreadCore) -> tuple[Placements, StoredGoal | None]:
    """What is stored outside the thread's rollout: its section and its goal."""
    id = thread.thread_id
    return await thread.services.state.read_or(lambda db: (placements(db, id), get_goal(db, id)), (Placements(), None))


async def turns_now(thread: ThreadCore, *, whole: bool = False) -> Snapshot:
    """All turns. The running one has what is streamed so far of its next message, with the item id of the deltas.

    `whole`: all of them will be read.
    """
    live = thread.turn
    snapshot = await thread.state.conversation.snapshot(live.id if live else None, whole=whole)
    if live is not None and live is thread.turn:
        if not snapshot.ids or snapshot.ids[-1] != live.id:
            snapshot.add(unstructure(evolve(live.shown(), items_view="full")))
        if live.answer is not None and (partial := live.answer.partial()) is not None:
            snapshot.partial = unstructure(partial)
    return snapshot


async def built(snapshot: Snapshot) -> list[Turn]:
    """All turns of a snapshot as objects."""
    numbers = range(len(snapshot.ids))
    return await trio.to_thread.run_sync(lambda: [structure(body, Turn) for body in snapshot.read(numbers)])


async def one_turn(snapshot: Snapshot, id: str) -> Turn | None:
    """A turn of a snapshot with its items, None if it is not there. The snapshot is closed in the end."""

    def read() -> Turn | None:
        return next((structure(body, Turn) for body in snapshot.read([snapshot.ids.index(id)])), None)

    try:
        return await trio.to_thread.run_sync(read) if id in snapshot.ids else None
    finally:
        snapshot.close()


async def first_page(
    thread: ThreadCore, params: ThreadResumeParams, snapshot: Snapshot
) -> ThreadTurnsListResponse | None:
    """The page of turns that a resume asks for; None without one."""
    if (asked := params.initial_turns_page) is None:
        return None
    page = ThreadTurnsListParams(thread.thread_id, None, asked.limit, asked.sort_direction, asked.items_view)
    return await trio.to_thread.run_sync(turns_page, snapshot, page)


def started(thread: ThreadCore, shown: Thread) -> ThreadStartResponse:
    """The answer to a start or a fork of the thread."""
    return ThreadStartResponse(**_loaded(thread, shown))


def resumed(
    thread: ThreadCore, shown: Thread, snapshot: Snapshot, page: ThreadTurnsListResponse | None
) -> ThreadResumeResponse:
    """The answer to a resume."""
    turns_cursor, items_cursor = end_cursors(snapshot)
    return ThreadResumeResponse(
        **_loaded(thread, shown),
        initial_turns_page=page,
        turns_backwards_cursor=turns_cursor,
        items_backwards_cursor=items_cursor,
    )


def _loaded(thread: ThreadCore, shown: Thread) -> dict[str, Any]:
    settings = thread.state.settings
    return {
        "thread": shown,
        "model": settings.model,
        "model_provider": settings.model_provider,
        "service_tier": settings.service_tier,
        "cwd": settings.cwd,
        "runtime_workspace_roots": (settings.cwd, *settings.roots),
        "instruction_sources": tuple(thread.state.guidance.sources),
        "approval_policy": settings.approval_policy,
        "approvals_reviewer": settings.approvals_reviewer,
        "sandbox": settings.sandbox,
        "permission_profile": settings.profile or profile_of(settings.sandbox),
        "reasoning_effort": settings.effort,
        "collaboration_mode": mode_of(settings),
    }


def _environments(settings: Settings) -> tuple[ThreadEnvironment, ...]:
    if not settings.has_environment:
        return ()
    roots = settings.cwd, *settings.roots
    return (ThreadEnvironment(environment_id=LOCAL_ENVIRONMENT, cwd=settings.cwd, runtime_workspace_roots=roots),)


async def read(thread: ThreadCore, message: ReadThread) -> None:
    """Answer a thread/read."""
    id = thread.thread_id

    def where(db: sqlite3.Connection) -> tuple[Placements, ThreadReadState | None]:
        return placements(db, id), None if thread.state.ephemeral else read_state(db, id)

    unknown: tuple[Placements, ThreadReadState | None] = (Placements(), None)
    places, unread = await thread.services.state.read_or(where, unknown)
    if not message.include_turns:
        message.reply.resolve(ThreadReadResponse(places.show(describe(thread)), unread))
        return
    snapshot = await _on_disk(thread, "includeTurns", whole=True)
    read = await with_turns(places.show(describe(thread)), snapshot, streamed=message.streamed)
    message.reply.resolve(
        read.map(lambda shown: ThreadReadResponse(shown, unread))
        if isinstance(read, Streamed)
        else ThreadReadResponse(read, unread)
    )


async def with_turns(shown: Thread, snapshot: Snapshot, *, streamed: bool) -> Thread | Streamed:
    """The thread with its turns. `streamed`: they are read while the answer is written. The snapshot is closed in the end."""
    if streamed:
        return Streamed(shown, snapshot)
    try:
        return evolve(shown, turns=tuple(await built(snapshot)))
    finally:
        snapshot.close()


async def take_snapshot(thread: ThreadCore, message: TakeSnapshot) -> None:
    """Answer with the turns, for a page of them."""
    message.reply.resolve(await _on_disk(thread, message.method))


async def _on_disk(thread: ThreadCore, method: str, *, whole: bool = False) -> Snapshot:
    """The turns, for a method that needs a rollout. Raises RpcError without one."""
    if thread.state.ephemeral:
        raise invalid_request(f"ephemeral threads do not support {method}")
    if not thread.state.conversation.stored:
        raise invalid_request(
            f"thread {thread.thread_id} is not materialized yet; {method} is unavailable before first user message"
        )
    return await turns_now(thread, whole=whole)
