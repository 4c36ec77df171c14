"""A caller that waits for the end of its turn, or withdraws.

Neither is a message: on the same trio thread a turn is interrupted at once, even when the thread's mailbox is full. A turn
that has not begun when its caller withdraws never begins. A turn is interrupted when all its callers have withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.turns import Turn


class TurnWatch:
    """Goes with the message that asks for a turn. `reply` is resolved with the turn when it has ended."""

    def __init__(self) -> None:
        self.reply: Reply[Turn] = Reply(self._end, self._fail)
        self.withdrawn = False
        self._withdraw_from: Callable[[], bool] | None = None
        self._over = trio.Event()
        self._ended: Turn | None = None
        self._error: Exception | None = None

    def begun(self, withdrawn: Callable[[], bool]) -> None:
        """The turn has begun or was joined. `withdrawn` is called if a caller withdraws, and returns whether the turn ends."""
        self._withdraw_from = withdrawn

    def withdraw(self) -> bool:
        """Stop wanting the turn. Returns whether it has ended or is ending, so that `wait` returns soon."""
        self.withdrawn = True
        return self._withdraw_from is not None and (self._over.is_set() or self._withdraw_from())

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
