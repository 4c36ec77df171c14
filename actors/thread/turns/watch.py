"""A caller in this process that waits for the end of its turn, or withdraws.

Neither is a message: on the same trio thread a turn is interrupted at once, even when the thread's mailbox is full. A turn
that has not begun when its caller withdraws never begins. A turn is interrupted when all its callers have withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.interface import ModelError, Usage
from spindle.rpc.protocol.items import ThreadItem
from spindle.rpc.protocol.turns import ItemCompletedNotification, Turn, TurnDiffUpdatedNotification


@frozen
class ProviderFailure:
    """What a provider said when it refused the request that ended a turn. The turn's error has the rest."""

    status: int | None
    """The HTTP status."""
    retry_after: float | None
    """Seconds that the provider asked to wait."""

    @classmethod
    def of(cls, error: ModelError) -> ProviderFailure:
        """The error without its traceback, which would hold the frames of the turn."""
        return cls(error.status, error.retry_after)


@frozen
class FinishedTurn:
    """A turn as it ended and is recorded. Nothing of it refers to the thread."""

    turn: Turn
    """As `turn/completed` has it, so without items."""
    items: Sequence[ThreadItem]
    """Every item that was completed, in order."""
    usage: Usage | None
    """Of all the turn's requests; None if the provider has reported none."""
    diff: str
    """All changes to files in the turn, as one unified diff; "" if there are none."""
    provider: ProviderFailure | None
    """Set if the turn failed because a request to the model did."""


@define(eq=False)
class Gathered:
    """What a turn with a watch keeps of its notifications until it ends. `whole`: from the turn's first item on."""

    whole: bool
    items: list[ThreadItem] = field(factory=lambda: list[ThreadItem]())
    diff: str = ""

    def take(self, params: object) -> None:
        """A notification of the turn."""
        if isinstance(params, ItemCompletedNotification):
            self.items.append(params.item)
        elif isinstance(params, TurnDiffUpdatedNotification):
            self.diff = params.diff


class TurnWatch:
    """Goes with the message that asks for a turn. `reply` is resolved with the turn when it has ended.

    `begun` is called when the turn begins or is joined, before any notification that follows; `ended` when it
    has ended and `finished` is set, or when that cannot happen any more. Neither may wait.
    """

    def __init__(
        self, begun: Callable[[], None] | None = None, ended: Callable[[], None] | None = None
    ) -> None:
        self.reply: Reply[FinishedTurn] = Reply(self._end, self._fail)
        self.withdrawn = False
        self.finished: FinishedTurn | None = None
        self._on_begin, self._on_end = begun, ended
        self._withdraw_from: Callable[[], bool] | None = None
        self._over = trio.Event()
        self._error: Exception | None = None

    def begun(self, withdrawn: Callable[[], bool]) -> None:
        """The turn has begun or was joined. `withdrawn` is called if a caller withdraws, and returns whether the turn ends."""
        self._withdraw_from = withdrawn
        if self._on_begin is not None:
            self._on_begin()

    def withdraw(self) -> bool:
        """Stop wanting the turn. Returns whether it has ended or is ending, so that `wait` returns soon."""
        self.withdrawn = True
        return self._over.is_set() or (self._withdraw_from is not None and self._withdraw_from())

    async def wait(self) -> FinishedTurn:
        """Wait until the turn has ended and is recorded. Any number of tasks may wait.

        Raises ActorExited if the thread ends before that.
        """
        await self._over.wait()
        if self._error is not None:
            raise self._error
        assert self.finished is not None
        return self.finished

    def _end(self, finished: FinishedTurn) -> None:
        self.finished = finished
        self._is_over()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._is_over()

    def _is_over(self) -> None:
        self._withdraw_from = None  # it holds the turn, and a caller may keep the watch
        self._over.set()
        if self._on_end is not None:
            self._on_end()
