"""Store what an ended turn changes outside the rollout: the thread's read state, and the budget of its goal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.goals import ThreadGoal, ThreadGoalUpdatedNotification
from spindle.rpc.protocol.read_states import ThreadReadState, ThreadReadStateChangedNotification
from spindle.storage.state import StateStore, StateUnavailable
from spindle.storage.state.goals import spend
from spindle.storage.state.read_states import turn_ended

if TYPE_CHECKING:
    import sqlite3

    from spindle.rpc.protocol.notifications import ThreadNotification

log = logging.getLogger("spindle")


@frozen
class EndedTurn:
    """A turn of a stored thread. `tokens` are those that did not come from the provider's cache.

    `unread` is False for an interrupted turn: the user who interrupts it has seen it. `notify` sends to the thread's
    subscribers, `announce` to every client; both do nothing once the thread is closed.
    """

    thread_id: str
    turn_id: str
    tokens: int
    milliseconds: int
    unread: bool
    notify: Callable[[ThreadNotification], None]
    announce: Callable[[object], None]


async def keep(store: StateStore, turn: EndedTurn) -> None:
    """Write it to the state store, then notify clients. If that fails it is only logged: the turn does not depend on it."""

    def work(db: sqlite3.Connection) -> tuple[ThreadReadState | None, ThreadGoal | None]:
        state = turn_ended(db, turn.thread_id, turn.turn_id) if turn.unread else None
        return state, spend(db, turn.thread_id, turn.tokens, turn.milliseconds, int(time.time()))

    try:
        state, goal = await store.change(work, durable=False)  # the turn itself is in the rollout
    except StateUnavailable as error:
        log.warning("the end of a turn of thread %s is not kept: %s", turn.thread_id, error)
        return
    if state is not None:
        turn.notify(ThreadReadStateChangedNotification(turn.thread_id, state))
    if goal is not None:
        turn.announce(ThreadGoalUpdatedNotification(thread_id=turn.thread_id, turn_id=turn.turn_id, goal=goal))
