"""A caller's interest in a turn of its own: it waits for the turn's end, or withdraws.

Both take no message: what runs on the same trio thread is interrupted at once, however full the thread's mailbox is. A turn
that has not begun when its caller withdraws never begins; one that all its callers have withdrawn from is interrupted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.turns import Turn

if TYPE_CHECKING:
    from spindle.actors.thread.turns.live import LiveTurn


class TurnWatch:
    """Goes with the message that asks for the turn. `reply` is settled with the turn as it has ended."""

    def __init__(self) -> None:
        self.reply: Reply[Turn] = Reply(self._end, self._fail)
        self.withdrawn = False
        self.turn: LiveTurn | None = None
        """Set by the thread, when the turn begins or is joined."""
        self._over = trio.Event()
        self._ended: Turn | None = None
        self._error: Exception | None = None

    def withdraw(self) -> bool:
        """Want the turn no more. Returns whether it has ended or is ending, so that `wait` will not take long."""
        self.withdrawn = True
        return self.turn is not None and (self._over.is_set() or self.turn.withdrawn())

    async def wait(self) -> Turn:
        """Wait until the turn has ended and is recorded. Raises ActorExited if the thread ends before that."""
        await self._over.wait()
        if self._error is not None:
            raise self._error
        assert self._ended is not None
        return self._ended

    def _end(self, turn: Turn) -> None:
        self._ended = turn
        self._over.set()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._over.set()
