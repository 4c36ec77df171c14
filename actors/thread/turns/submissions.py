"""The queue of a thread: submissions on disk, of which the next one becomes a turn when no other turn runs.

The queue goes on after a turn that has completed or failed, and when the thread is resumed. It pauses after an interrupted
turn, until the user starts an entry or another turn ends. Without a subscriber nothing is started: entries stay on disk.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from uuid_utils import uuid7

from spindle.actors.tasks.faults import message_of
from spindle.actors.thread import view
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.life import WATCHED
from spindle.actors.thread.messages import ChangeQueue, ReadQueue, StartQueued
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.thread.turns.queue import TurnQueue
from spindle.rpc.protocol.errors import internal_error, invalid_request, overloaded
from spindle.rpc.protocol.items import UserMessageItem
from spindle.rpc.protocol.queue import QueuedSubmission, ThreadQueueChangedNotification
from spindle.rpc.protocol.turns import TurnStartParams, WarningNotification
from spindle.storage.rollout.source import RolloutChanged
from spindle.storage.state import StateUnavailable
from spindle.storage.state.queue import (
    QueueError,
    QueueFull,
    Standing,
    absent,
    claim,
    count,
    drop,
    find,
    set_paused,
    standing,
    unclaim,
)

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

log = logging.getLogger("spindle")


class Submissions:
    """The queue of one loaded thread."""

    def __init__(self, thread: ThreadCore, turns: TurnQueue) -> None:
        self._thread, self._turns = thread, turns
        self._waiting = 0
        self._paused = turns.interrupted
        self._running: str | None = None
        """The entry that the running turn was made of."""

    async def load(self) -> None:
        """Read how the queue stands. What a crash has left between the queue and a turn goes to the one or the other."""
        id = self._thread.thread_id
        found = await self._thread.services.state.read_or(lambda db: standing(db, id), Standing())
        self._waiting, self._paused = found.waiting, found.paused
        for entry, turn_id in found.claimed:
            try:
                recorded = await self._has_input(turn_id)
            except (OSError, RolloutChanged) as error:  # the next time that the thread is loaded
                log.error("thread %s: it is not known what became of a queued submission: %s", id, error)
            else:
                await self._settle(entry, recorded=recorded)

    @property
    def due(self) -> bool:
        """Whether the next entry is to become a turn now."""
        thread = self._thread
        idle = thread.turn is None and not self._turns.waiting
        return bool(self._waiting) and not self._paused and idle and thread.life.state in WATCHED

    # -- messages

    async def read(self, message: ReadQueue) -> None:
        """Answer from the queue."""
        self._check()
        message.reply.resolve(await answered(self._thread.services.state.read(message.work, message.empty)))

    async def change(self, message: ChangeQueue) -> None:
        """Change the queue, and notify subscribers if anything changed."""
        self._check()
        id, paused = self._thread.thread_id, self._paused

        def work(db: sqlite3.Connection) -> tuple[Any, bool, int]:
            answer, changed = message.work(db)
            waiting = count(db, id)
            if paused and waiting:
                set_paused(db, id, True)
            return answer, changed, waiting

        answer, changed, self._waiting = await answered(self._thread.services.state.change(work))
        message.reply.resolve(answer)
        if changed:
            self._changed()

    async def start(self, message: StartQueued) -> None:
        """Make a turn of an entry at the request of a client. Raises RpcError if there is none, or a turn runs or waits."""
        self._check()
        entry = await self._next(message.id)
        if self._thread.turn is not None or self._turns.waiting:
            raise invalid_request("thread already has an active or pending turn")
        turn = await self._begin(entry, message.context)
        message.reply.resolve(turn.accepted())
        self._changed()
        await self._pause(False)

    async def go_on(self) -> None:
        """Make a turn of the next entry. If that is not possible, pause, so that it is not tried without end."""
        try:
            await self._begin(await self._next(None), copy_context())
            self._changed()
        except Exception as error:
            thread = self._thread
            log.error("thread %s: the next queued submission cannot be started: %s", thread.thread_id, message_of(error))
            self._paused = True
            text = f"The next queued message could not be started: {message_of(error)}"
            thread.emit(WarningNotification(thread.thread_id, text))

    async def ended(self, turn: LiveTurn) -> None:
        """A turn of the thread has ended."""
        interrupted = self._turns.interrupted
        if self._running is not None:
            entry, self._running = self._running, None
            recorded = all(given is not turn.first for given in turn.pending)
            await self._settle(entry, recorded=recorded)
            if not recorded:
                self._changed()
                interrupted = True
        if self._thread.life.state in WATCHED:
            await self._pause(interrupted)

    # -- steps

    def _changed(self) -> None:
        self._thread.emit(ThreadQueueChangedNotification(self._thread.thread_id))

    async def _next(self, id: str | None) -> QueuedSubmission:
        """The entry `id`, or the next one. Raises RpcError."""
        thread_id = self._thread.thread_id
        entry = await answered(self._thread.services.state.read(lambda db: find(db, thread_id, id), None))
        if entry is None:
            raise invalid_request(absent(id))
        return entry

    async def _begin(self, entry: QueuedSubmission, context: Context) -> LiveTurn:
        """Make a turn of an entry. If the input cannot be read, the entry stays in the queue. Raises RpcError."""
        thread, turns = self._thread, self._turns
        given = await turns.read_input(entry.input, entry.client_user_message_id)
        turn_id = str(uuid7())
        if not await answered(thread.services.state.change(lambda db: claim(db, entry.id, turn_id))):
            raise invalid_request(absent(entry.id))  # another process has taken it
        self._running, self._waiting = entry.id, self._waiting - 1
        params = TurnStartParams(
            thread_id=thread.thread_id,
            client_user_message_id=entry.client_user_message_id,
            input=entry.input,
            responsesapi_client_metadata=entry.responsesapi_client_metadata,
        )
        return turns.begin(turn_id, params, given, context)

    async def _settle(self, entry: str, *, recorded: bool) -> None:
        """Remove a claimed entry, or return it to the queue if its turn's record does not have its input."""
        try:
            await self._thread.services.state.change(lambda db: (drop if recorded else unclaim)(db, entry))
        except StateUnavailable as error:
            log.error("thread %s: what became of a queued submission is not stored: %s", self._thread.thread_id, error)
            return
        self._waiting += not recorded

    async def _has_input(self, turn_id: str) -> bool:
        """Whether the record of a turn has what the user said."""
        snapshot = await self._thread.state.conversation.snapshot(None)
        turn = await view.one_turn(snapshot, turn_id)
        return turn is not None and any(isinstance(item, UserMessageItem) for item in turn.items)

    async def _pause(self, paused: bool) -> None:
        """Pause or go on. It is stored while there are entries; a pause of an empty queue ends with the process."""
        if paused == self._paused:
            return
        self._paused, id = paused, self._thread.thread_id
        if self._waiting or not paused:
            try:
                await self._thread.services.state.change(lambda db: set_paused(db, id, paused))
            except StateUnavailable as error:
                log.error("thread %s: whether its queue is paused is not stored: %s", id, error)

    def _check(self) -> None:
        """Raises RpcError for a thread that has no queue."""
        if self._thread.state.ephemeral:
            raise invalid_request(f"ephemeral thread does not support queued submissions: {self._thread.thread_id}")


async def answered(work: Awaitable[T]) -> T:
    """The result of work on a queue. Raises RpcError."""
    try:
        return await work
    except QueueFull as error:
        raise overloaded() from error
    except QueueError as error:
        raise invalid_request(str(error)) from error
    except StateUnavailable as error:
        raise internal_error(str(error)) from error
