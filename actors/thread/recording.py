"""What a thread writes outside of its turns' records: lines of its rollout, and a turn's state outside the rollout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import trio

from spindle.actors.services.bookkeeping import EndedTurn
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import Settle
from spindle.actors.thread.repository import look_at_repository
from spindle.actors.thread.turns.live import LiveTurn
from spindle.rpc.protocol.errors import RpcError, internal_error, invalid_request
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.records import Entry
from spindle.storage.rollout.writer_lock import WriterBusy

log = logging.getLogger("spindle")

KEEP_TIMEOUT = 10.0
"""Seconds that a thread waits at its end until the state of its turns outside the rollout is stored."""


async def save(thread: ThreadCore, entries: Callable[[], Sequence[Entry]]) -> None:
    """Append lines to the rollout, creating it if it is new. Returns when they are on disk.

    `entries` is called when the rollout is open and known to be as others left it. Raises RpcError: another process is
    writing, or the lines could not be saved.
    """
    state, services = thread.state, thread.services
    conversation = state.conversation
    if thread.turn is not None:
        await thread.turn.opened.wait()
    ours = not conversation.is_open
    try:
        if ours:
            await look_at_repository(state)
            await conversation.begin(history=False)
        try:
            await conversation.keep(entries())
            journal = conversation.journal
            if journal is not None and state.config.durability != "os":
                await services.flusher.sync(journal)  # also if the turn ends meanwhile and closes the rollout
        finally:
            if ours:
                conversation.end()
    except WriterBusy as error:
        raise invalid_request(f"thread {thread.thread_id} already has an active writer: {error.holder}") from error
    except (JournalError, OSError) as error:
        raise internal_error(f"the thread's history could not be saved: {error}") from error


class Recording:
    """What is still to be written of a thread, in its rollout or outside it."""

    def __init__(self, thread: ThreadCore) -> None:
        self._thread = thread
        self._unsettled: list[Callable[[], None]] = []
        self._kept: list[trio.Event] = []

    def settle(self, finish: Callable[[], None]) -> None:
        """Call `finish`, which records something, as soon as the rollout is open, at the latest when the thread ends."""
        self._unsettled.append(finish)
        self._thread.mailbox.post(Settle())

    async def settled(self) -> None:
        """Open the rollout for what waits for that. A failure is logged."""
        unsettled, self._unsettled = self._unsettled, []

        def finished() -> Sequence[Entry]:
            for finish in unsettled:
                finish()
            return ()

        if unsettled:
            try:
                await save(self._thread, finished)
            except RpcError as error:
                log.error("thread %s: %s", self._thread.thread_id, error.message)

    def keep_turn(self, turn: LiveTurn, *, unread: bool) -> trio.Event | None:
        """Store outside the rollout what the turn has cost and, if `unread`, that it is unread.

        The returned event is set when that is stored. None for an ephemeral thread.
        """
        thread = self._thread
        if thread.state.ephemeral:
            return None
        ended = EndedTurn(
            thread.thread_id, turn.id, turn.tokens, turn.duration_ms, unread, thread.emit, thread.announce
        )
        kept = thread.supervisor.turn_ended(ended)
        self._kept = [each for each in self._kept if not each.is_set()] + [kept]
        return kept

    async def kept(self) -> None:
        """Wait until the ends of all turns are kept, at most `KEEP_TIMEOUT` seconds."""
        if all(kept.is_set() for kept in self._kept):
            return
        with trio.move_on_after(KEEP_TIMEOUT) as waiting:
            for kept in self._kept:
                await kept.wait()
        if waiting.cancelled_caught:
            log.warning(
                "thread %s ends before the end of a turn is stored: clients are not notified of it", self._thread.thread_id
            )
