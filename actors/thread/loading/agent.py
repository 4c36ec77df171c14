"""Loading a new thread as an agent: with given settings and, as a fork, with the messages of its parent."""

from __future__ import annotations

import datetime

import trio

from spindle.actors.services.services import Services
from spindle.actors.thread.conversation import Conversation
from spindle.actors.thread.loading.openings import AgentThread
from spindle.actors.thread.state import (
    OpenedThread,
    open_state,
    save_history,
    session_meta,
)
from spindle.storage.threads.summary import protocol_source


async def open_agent(services: Services, thread_id: str, opening: AgentThread) -> OpenedThread:
    """Load the agent's thread. Raises ConfigError, JournalError, OSError."""
    opened = await trio.to_thread.run_sync(
        _open, services, thread_id, opening, limiter=services.workers.loading, abandon_on_cancel=True
    )
    if opening.history:
        await save_history(services, opened.conversation, opening.history)
    return opened


def _open(services: Services, thread_id: str, opening: AgentThread) -> OpenedThread:
    settings, config, now = opening.settings, opening.config, datetime.datetime.now().astimezone()
    config.check_provider(settings.model_provider)
    name = opening.name
    spawn = {
        "parent_thread_id": opening.parent_id,
        "depth": opening.depth,
        "agent_path": None,
        "agent_nickname": name.nickname,
        "agent_role": name.role,
    }
    meta = session_meta(services, thread_id, settings, opening.client, now)
    meta |= {"source": {"subagent": {"thread_spawn": spawn}}, "agent_nickname": name.nickname}
    if name.role is not None:
        meta["agent_role"] = name.role
    if opening.history is not None:
        meta["forked_from_id"] = opening.parent_id
    path = None if opening.ephemeral else services.home.new_rollout_path(thread_id, now)
    conversation = Conversation(services.home, thread_id, path, meta, services.outliner, services.workers.rollouts)
    state = open_state(services, config, settings, conversation, opening.client, int(now.timestamp()))
    state.warnings, state.notes, state.deprecations = (), (), ()  # the parent's clients have them already
    state.source = protocol_source(meta["source"], name.nickname, name.role)
    state.agent_nickname, state.agent_role = name.nickname, name.role
    state.forked_from_id = meta.get("forked_from_id")
    state.ephemeral, state.functions = opening.ephemeral, opening.functions
    return state
