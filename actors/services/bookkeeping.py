"""What a turn that has ended leaves in the state beside the rollout: something unread, and its cost against the goal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from spindle.rpc.protocol.goals import ThreadGoal, ThreadGoalUpdatedNotification
from spindle.rpc.protocol.read_states import ThreadReadState, ThreadReadStateChangedNotification
from spindle.storage.state import StateStore, StateUnavailable
from spindle.storage.state.goals import spend
from spindle.storage.state.read_states import turn_ended

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger("spindle")


@frozen
class EndedTurn:
    """A turn of a stored thread. `tokens` are those that were not read from the provider's cache.

    `unread` is False for one that was interrupted: whoever did so was there. `tell` reaches the thread's subscribers,
    `announce` every client; once the thread is closed both do nothing.
    """

    thread_id: str
    turn_id: str
    tokens: int
    milliseconds: int
    unread: bool
    tell: Callable[[object], None]
    announce: Callable[[object], None]


async def keep(store: StateStore, turn: EndedTurn) -> None:
    """Keep it, and tell. The turn does not depend on it: that it cannot be kept is only logged."""

    def work(db: sqlite3.Connection) -> tuple[ThreadReadState | None, ThreadGoal | None]:
        state = turn_ended(db, turn.thread_id, turn.turn_id) if turn.unread else None
        return state, spend(db, turn.thread_id, turn.tokens, turn.milliseconds, int(time.time()))

    try:
        state, goal = await store.change(work, durable=False)  # as the rollout tells of the turn itself
    except StateUnavailable as error:
        log.warning("the end of a turn of thread %s is not kept: %s", turn.thread_id, error)
        return
    if state is not None:
        turn.tell(ThreadReadStateChangedNotification(turn.thread_id, state))
    if goal is not None:
        turn.announce(ThreadGoalUpdatedNotification(thread_id=turn.thread_id, turn_id=turn.turn_id, goal=goal))
