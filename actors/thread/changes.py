"""Changes of a loaded thread outside of its turns: its name, metadata and settings, rollbacks and added items.

Each handler writes its change to the disk, then changes memory, then answers. A refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import trio
from uuid_utils import uuid7

from spindle.actors.delivery.events import Event
from spindle.actors.settings.allowed import check
from spindle.actors.settings.recorded import applied
from spindle.actors.settings.requests import changed
from spindle.actors.settings.settings import shown
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import (
    CountElicitation,
    InjectItems,
    RollBack,
    SetMemoryMode,
    SetName,
    UpdateMetadata,
    UpdateSettings,
)
from spindle.actors.thread.recording import save
from spindle.actors.thread.repository import git_columns, patched, set_git
from spindle.actors.thread.surroundings import context_entries, find_readable
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.thread.usage import token_usage
from spindle.actors.thread.view import describe, kept, with_turns
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.thread_changes import ThreadElicitationResponse
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdatedNotification
from spindle.rpc.protocol.threads import GitInfo, ThreadNameUpdatedNotification
from spindle.storage.home import Home
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry
from spindle.storage.threads.codex_database import update_codex_database
from spindle.storage.threads.names import record_name


async def set_name(thread: ThreadCore, message: SetName) -> None:
    """Write the name to the rollout and to the home's index of names, which Codex reads."""
    state, id, name = thread.state, thread.thread_id, message.name
    if not state.ephemeral:
        await save(thread, lambda: [records.thread_name_updated(id, name)])
        try:
            await trio.to_thread.run_sync(
                _record_name, thread.services.home, id, name, limiter=thread.services.workers.rollouts
            )
        except OSError as error:
            raise internal_error(f"the thread's name could not be saved: {error}") from error
    state.name = name
    message.reply.resolve(None)
    thread.services.audience.announce(ThreadNameUpdatedNotification(id, name))


def _record_name(home: Home, id: str, name: str) -> None:
    record_name(home, id, name)
    update_codex_database(home, id, {"name": name, "title": name})


async def update_metadata(thread: ThreadCore, message: UpdateMetadata) -> None:
    """Append another session_meta line: the last one counts. A rollout that is not created yet will begin with it."""
    state = thread.state
    if state.ephemeral:
        raise invalid_request(f"ephemeral thread does not support metadata updates: {thread.thread_id}")
    git, given = patched(state.git, message.git)
    if state.conversation.stored:
        before = state.git
        await _save_meta(thread, lambda: set_git(state, git), lambda: set_git(state, before or GitInfo()))
    else:
        state.git_set |= given
        set_git(state, git)
    home, limiter = thread.services.home, thread.services.workers.rollouts
    await trio.to_thread.run_sync(update_codex_database, home, thread.thread_id, git_columns(git), limiter=limiter)
    where, _ = await kept(thread)
    message.reply.resolve(where.show(describe(thread)))


async def set_memory_mode(thread: ThreadCore, message: SetMemoryMode) -> None:
    """As for metadata, but the rollout is created for it, as in Codex."""
    if thread.state.ephemeral:
        raise invalid_request(f"ephemeral thread does not support memory mode updates: {thread.thread_id}")
    conversation = thread.state.conversation
    before = conversation.meta.get("memory_mode")

    def restore() -> None:
        conversation.meta.pop("memory_mode", None)
        if before is not None:
            conversation.meta["memory_mode"] = before

    await _save_meta(thread, lambda: conversation.meta.update(memory_mode=message.mode), restore)
    message.reply.resolve(None)


async def _save_meta(thread: ThreadCore, apply: Callable[[], object], restore: Callable[[], object]) -> None:
    conversation = thread.state.conversation

    def entries() -> list[Entry]:
        apply()
        return [records.session_meta(conversation.meta)]

    try:
        await save(thread, entries)
    except BaseException:
        restore()
        raise


async def roll_back(thread: ThreadCore, message: RollBack) -> None:
    """Append a line that says how many turns no longer count, and reload the conversation. Nothing is deleted."""
    state, conversation = thread.state, thread.state.conversation
    if state.ephemeral:
        raise invalid_request("thread rollback requires a persisted rollout: the thread is ephemeral")
    if thread.turn is not None:
        raise invalid_request("cannot roll back while a turn is in progress")
    if not conversation.stored:
        raise invalid_request(f"failed to load rollout `{conversation.path}`: no turn has been recorded yet")
    await save(thread, lambda: [records.thread_rolled_back(message.count)])
    await conversation.reload()
    snapshot = await conversation.snapshot(None, whole=True)
    if (usage := conversation.usage) is not None:
        turn_id = snapshot.ids[-1] if snapshot.ids else conversation.usage_turn
        event = Event(token_usage(thread.thread_id, turn_id or "", usage))
        for subscriber in thread.subscribers:
            subscriber.deliver(event)
    message.reply.resolve(await with_turns(describe(thread), snapshot, streamed=message.streamed))


async def inject_items(thread: ThreadCore, tools: ThreadTools, message: InjectItems) -> None:
    """Add items to the history. The next request to the model has them, also that of a running turn."""
    state = thread.state
    readable = await find_readable(thread, state.settings, tools.granted)

    def entries() -> list[Entry]:
        sent = state.conversation.last_context is not None
        before = [] if sent else context_entries(state, state.settings, str(uuid7()), readable)
        return [*before, *(records.response_item(cast("dict[str, Any]", item)) for item in message.items)]

    unsent = state.conversation.last_context is None
    await save(thread, entries)
    if unsent:
        state.new_developer_instructions = None  # they were among the context entries
    message.reply.resolve(None)


async def update_settings(thread: ThreadCore, message: UpdateSettings) -> None:
    """Change the settings of later turns. A rollout that is not created yet gets them with its first turn."""
    state, before = thread.state, thread.state.settings
    after = changed(before, message.params, state.config, thread.services.cwd)
    check(after, state.config.requirements)
    if after != before:
        if state.conversation.stored:
            await save(thread, lambda: [applied(after, thread.thread_id)])
        thread.adopt(after)
    message.reply.resolve(None)
    if after != before:
        thread.emit(ThreadSettingsUpdatedNotification(thread.thread_id, shown(after)))


async def count_elicitation(thread: ThreadCore, message: CountElicitation) -> None:
    """Adjust the out-of-band elicitation count. It is kept in memory only."""
    state = thread.state
    if state.elicitations + message.step < 0:
        raise invalid_request("out-of-band elicitation count is already zero")
    state.elicitations += message.step
    message.reply.resolve(ThreadElicitationResponse(state.elicitations, state.elicitations > 0))
