"""A turn as an application sees it: a stream of its events, and an end that is waited for without them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.delivery.questions import Question
from spindle.actors.embedding.failures import ThreadClosed, TurnFailed
from spindle.actors.embedding.streams import Events
from spindle.actors.kernel.mailbox import ActorExited
from spindle.actors.thread.messages import InterruptTurn, SteerTurn
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.turn.user_input import check_input
from spindle.rpc.protocol.items import AgentMessageItem, TextInput, UserInput
from spindle.rpc.protocol.turns import (
    ItemCompletedNotification,
    Turn,
    TurnCompletedNotification,
    TurnStartedNotification,
)

if TYPE_CHECKING:
    from spindle.actors.embedding.threads import ThreadHandle


class TurnHandle:
    """A running turn: iterate it for its events up to `TurnCompletedNotification`; then `result` is set.

    Iterating raises TurnFailed behind the completion of a turn that failed, ThreadClosed if the thread ends before the
    turn is complete, SubscriberLagged. One that was interrupted ends like any other, as `result.status` says.
    """

    def __init__(self, thread: ThreadHandle, events: Events, watch: TurnWatch, id: str) -> None:
        self._thread, self._events, self._watch = thread, events, watch
        self.id = id
        self.result: Turn | None = None
        """How it ended; None while it runs, and after a block was left early that others have joined."""
        self.text = ""
        """The agent's last message so far."""

    def __aiter__(self) -> TurnHandle:
        return self

    async def __anext__(self) -> Any:
        if self.result is not None:
            if self.result.status == "failed":
                raise TurnFailed(self.result)
            raise StopAsyncIteration
        async for event in self._events:
            if isinstance(event, Question) and event.thread_id != self._thread.id:
                return event  # an agent's; nobody else may be there to answer it
            if _turn_of(event) not in (None, self.id):
                continue  # another turn's
            if isinstance(event, TurnCompletedNotification):
                self.result = event.turn
            elif isinstance(event, ItemCompletedNotification) and isinstance(event.item, AgentMessageItem):
                self.text = event.item.text
            return event
        raise ThreadClosed(self._thread.id)

    async def steer(self, content: str | Sequence[UserInput]) -> None:
        """Add input to the turn. Raises RpcError if it has ended, ThreadClosed."""
        parts = input_parts(content)
        await self._thread.ask(lambda reply: SteerTurn(reply=reply, content=parts, expected_turn_id=self.id))

    async def interrupt(self) -> None:
        """End the turn now; its completion is among the events. Raises RpcError if it has ended already, ThreadClosed."""
        await self._thread.ask(lambda reply: InterruptTurn(reply=reply, turn_id=self.id))

    async def close(self) -> None:
        """Interrupt the turn unless it has ended, and wait until that is recorded; others that joined it let it go on."""
        self._events.end()
        self.result = await leave(self._watch) or self.result


async def leave(watch: TurnWatch) -> Turn | None:
    """Withdraw from a turn, and wait for its end if that ends it. Returns how it ended, None if it never began or goes on."""
    if watch.withdraw():
        # The shield's bound is the end of an interrupted turn: its tools are killed within their limits, its record written.
        with trio.CancelScope(shield=True), suppress(ActorExited):
            return await watch.wait()
    return None


def input_parts(content: str | Sequence[UserInput]) -> list[UserInput]:
    """Input as the protocol has it. Raises RpcError where it is too long."""
    parts: list[UserInput] = [TextInput(content)] if isinstance(content, str) else list(content)
    check_input(parts)
    return parts


def _turn_of(event: Any) -> str | None:
    """The id of the turn an event belongs to, None for those of the thread."""
    if isinstance(event, TurnStartedNotification | TurnCompletedNotification):
        return event.turn.id
    turn_id: str | None = getattr(event.params if isinstance(event, Question) else event, "turn_id", None)
    return turn_id
