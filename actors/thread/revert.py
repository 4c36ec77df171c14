"""Taking back a turn and all that follow it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spindle.actors.thread.recording import save
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.read_states import ThreadReadStateChangedNotification
from spindle.storage.state import StateUnavailable
from spindle.storage.state.read_states import turns_taken_back

if TYPE_CHECKING:
    from spindle.actors.thread.thread import ThreadActor

log = logging.getLogger("spindle")


async def revert(thread: ThreadActor, before_turn_id: str) -> str | None:
    """End the history before a turn; returns the id of the last turn left. No turn may be running.

    The rollout is only added to: a `thread_rolled_back` line, which Codex understands too. A paginated history would have
    to be begun anew in a file that refers to this one; that is refused. Raises RpcError.
    """
    conversation, id = thread.state.conversation, thread.thread_id
    if thread.state.ephemeral or conversation.journal is None:
        raise invalid_request(f"ephemeral thread does not support revert: {id}")
    if conversation.paginated:
        raise invalid_request(f"thread/revert does not support paginated histories: {id}")
    turns = [turn.id for turn in await conversation.turns(None)]
    if before_turn_id not in turns:
        raise invalid_request(f"turn not found: {before_turn_id}")
    left = turns[: turns.index(before_turn_id)]
    taken = {"type": "thread_rolled_back", "num_turns": len(turns) - len(left)}
    await save(thread, lambda: [("event_msg", taken)])
    await conversation.reload()
    await _keep_read_state(thread, left)
    return left[-1] if left else None


async def _keep_read_state(thread: ThreadActor, left: list[str]) -> None:
    id, services = thread.thread_id, thread.services
    try:
        state = await services.state.change(lambda db: turns_taken_back(db, id, left))
    except StateUnavailable as error:
        log.warning("that turns of thread %s were taken back is not kept with its read state: %s", id, error)
    else:
        services.audience.announce(ThreadReadStateChangedNotification(id, state))
