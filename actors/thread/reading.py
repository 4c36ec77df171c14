"""What is told of a thread: the thread as clients see it, its turns, and what is kept beside its rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from spindle.actors.thread.messages import ReadThread
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.threads import Thread
from spindle.rpc.protocol.turns import Turn
from spindle.storage.state.goals import StoredGoal, get_goal
from spindle.storage.state.sections import Placements, placements

if TYPE_CHECKING:
    from spindle.actors.thread.thread import ThreadActor


def describe(thread: ThreadActor, turns: list[Turn] | None = None) -> Thread:
    """The thread as clients see it."""
    state, meta = thread.state, thread.state.conversation.meta
    return Thread(
        id=thread.thread_id,
        session_id=thread.thread_id,
        forked_from_id=state.forked_from_id,
        preview=state.preview,
        ephemeral=state.ephemeral,
        history_mode="paginated" if state.conversation.paginated else "legacy",
        model_provider=state.settings.model_provider,
        model=state.settings.model,
        reasoning_effort=state.settings.effort,
        created_at=state.created_at,
        updated_at=state.updated_at,
        recency_at=state.updated_at,
        status=thread.status,
        path=None if state.conversation.path is None else str(state.conversation.path),
        cwd=state.settings.cwd,
        cli_version=state.cli_version,
        originator=meta.get("originator"),
        source=state.source,
        can_accept_direct_input=True,
        thread_source=meta.get("thread_source"),
        agent_nickname=state.agent_nickname,
        agent_role=state.agent_role,
        git_info=state.git,
        name=state.name,
        turns=tuple(turns or ()),
    )


async def all_turns(thread: ThreadActor) -> list[Turn]:
    """All turns; the running one with what has been streamed of its next message, under the id its deltas carry."""
    live = thread.turn
    turns = await thread.state.conversation.turns(live.id if live else None)
    if live is None or live is not thread.turn:
        return turns
    if not turns or turns[-1].id != live.id:
        turns = [*turns, live.shown()]
    if live.answer is not None and (partial := live.answer.partial()) is not None:
        turns[-1] = evolve(turns[-1], items=(*turns[-1].items, partial))
    return turns


async def kept(thread: ThreadActor) -> tuple[Placements, StoredGoal | None]:
    """What is kept about the thread beside its rollout."""
    id = thread.thread_id
    return await thread.services.state.read_or(lambda db: (placements(db, id), get_goal(db, id)), (Placements(), None))


async def read(thread: ThreadActor, message: ReadThread) -> None:
    turns: list[Turn] = []
    where, _ = await kept(thread)
    if message.include_turns:
        if thread.state.ephemeral:
            raise invalid_request("ephemeral threads do not support includeTurns")
        if not thread.state.conversation.stored:
            raise invalid_request(
                f"thread {thread.thread_id} is not materialized yet; includeTurns is unavailable before first user message"
            )
        turns = await all_turns(thread)
    message.reply.resolve(where.show(describe(thread, turns)))
