"""Reverting a thread: removing a turn and all later ones from its history."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

import trio

from spindle.actors.settings.recorded import applied
from spindle.actors.thread import view
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import RevertTurns
from spindle.actors.thread.recording import save
from spindle.actors.thread.turns.queue import TurnQueue
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.read_states import ThreadReadStateChangedNotification
from spindle.rpc.protocol.removal import ThreadRevertedNotification
from spindle.storage.rollout import records
from spindle.storage.rollout.fork import UnknownTurn
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.writer_lock import WriterBusy
from spindle.storage.state import StateUnavailable
from spindle.storage.state.read_states import turns_taken_back
from spindle.storage.threads.codex_database import update_codex_database
from spindle.storage.threads.reverting import Revert, write_segment
from spindle.storage.threads.thread_errors import StoredThreadError

log = logging.getLogger("spindle")


async def revert_turns(thread: ThreadCore, turns: TurnQueue, message: RevertTurns) -> None:
    """Revert now, or when the running turn, which is interrupted, has ended."""
    if thread.turn is not None:
        turns.revert_when_ended(message)
        return
    last = await revert(thread, message.before_turn_id)
    where, _ = await view.kept(thread)
    message.reply.resolve((where.show(view.describe(thread)), last))
    thread.services.audience.announce(ThreadRevertedNotification(thread.thread_id))


async def revert(thread: ThreadCore, before_turn_id: str) -> str | None:
    """End the history before a turn. Returns the id of the last turn left. No turn may be running.

    The rollout only grows, by a `thread_rolled_back` line, which Codex reads too. A paginated history continues in a new
    file that refers to this one. Raises RpcError.
    """
    conversation, id = thread.state.conversation, thread.thread_id
    if thread.state.ephemeral or conversation.journal is None:
        raise invalid_request(f"ephemeral thread does not support revert: {id}")
    snapshot = await conversation.snapshot(None)
    turns = snapshot.ids
    snapshot.close()
    if before_turn_id not in turns:
        raise invalid_request(f"turn not found: {before_turn_id}")
    left = turns[: turns.index(before_turn_id)]
    if conversation.paginated:
        await _begin_segment(thread, before_turn_id if left else None)
    else:
        await save(thread, lambda: [records.thread_rolled_back(len(turns) - len(left))])
        await conversation.reload()
    await _keep_read_state(thread, left)
    return left[-1] if left else None


async def _begin_segment(thread: ThreadCore, before_turn_id: str | None) -> None:
    """Continue the thread in a new file, with its present settings."""
    state, id = thread.state, thread.thread_id
    conversation = state.conversation
    assert conversation.path is not None
    lines = [encode_line(*applied(state.settings, id))]
    wanted = Revert(id, conversation.path, conversation.meta, before_turn_id, lines)
    now = datetime.datetime.now().astimezone()
    home = thread.services.home

    def work() -> Path:
        path = write_segment(home, wanted, now, trio.from_thread.check_cancelled)
        update_codex_database(home, id, {"rollout_path": str(path)})
        return path

    try:
        path = await trio.to_thread.run_sync(work, limiter=thread.services.workers.rollouts)
        await conversation.go_on_in(path)
    except (UnknownTurn, StoredThreadError) as error:
        raise invalid_request(str(error)) from error
    except WriterBusy as error:
        raise invalid_request(f"thread {id} already has an active writer: {error.holder}") from error
    except OSError as error:
        raise internal_error(f"thread {id} could not be reverted: {error}") from error
    state.created_at = int(now.timestamp())  # as the new file says


async def _keep_read_state(thread: ThreadCore, left: list[str]) -> None:
    id, services = thread.thread_id, thread.services
    try:
        state = await services.state.change(lambda db: turns_taken_back(db, id, left))
    except StateUnavailable as error:
        log.warning("thread %s was reverted, but its read state could not be updated: %s", id, error)
    else:
        services.audience.announce(ThreadReadStateChangedNotification(id, state))
