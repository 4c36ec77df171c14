"""A turn for an application: a stream of its events, and an end that can be waited for without reading them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import trio

from spindle.actors.embedding.failures import ThreadClosed, TurnFailed
from spindle.actors.embedding.questions import Asked
from spindle.actors.embedding.streams import Events
from spindle.actors.embedding.subscription import Subscription
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


class TurnHandle:
    """A running turn. Iterate over it for its events, up to `TurnCompletedNotification`; then `result` is set.

    Iterating raises TurnFailed after the completion of a failed turn, ThreadClosed if the thread ends before the turn does, and
    SubscriberLagged. An interrupted turn ends without an exception; `result.status` says so.
    """

    def __init__(self, subscription: Subscription, events: Events, watch: TurnWatch, id: str) -> None:
        self._subscription, self._events, self._watch = subscription, events, watch
        self.id = id
        self.result: Turn | None = None
        """The turn as it ended. None while it runs, and if the block was left early and the turn goes on for others."""
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
            if isinstance(event, Asked) and event.thread_id != self._subscription.thread_id:
                return event  # a question of an agent, which may have no other subscriber
            if _turn_of(event) not in (None, self.id):
                continue  # of another turn
            if isinstance(event, TurnCompletedNotification):
                self.result = event.turn
            elif isinstance(event, ItemCompletedNotification) and isinstance(event.item, AgentMessageItem):
                self.text = event.item.text
            return event
        raise ThreadClosed(self._subscription.thread_id)

    async def steer(self, content: str | Sequence[UserInput]) -> None:
        """Add input to the turn. Raises RpcError if it has ended, ThreadClosed."""
        parts = input_parts(content)
        await self._subscription.ask(lambda reply: SteerTurn(reply=reply, content=parts, expected_turn_id=self.id))

    async def interrupt(self) -> None:
        """Interrupt the turn; its completion is among the events. Raises RpcError if it has already ended, ThreadClosed."""
        await self._subscription.ask(lambda reply: InterruptTurn(reply=reply, turn_id=self.id))

    async def close(self) -> None:
        """Interrupt the turn and wait until it is recorded. If it has ended, or goes on for others, do neither."""
        self._events.end()
        self.result = await leave(self._watch) or self.result


async def leave(watch: TurnWatch) -> Turn | None:
    """Withdraw from a turn. Wait for its end if it is ending, and return it; None if it never starts or goes on."""
    if watch.withdraw():
        # the wait is bounded by the end of an interrupted turn: its tools are killed within their limits, its record written
        with trio.CancelScope(shield=True), suppress(ActorExited):
            return (await watch.wait()).turn
    return None


def input_parts(content: str | Sequence[UserInput]) -> list[UserInput]:
    """Input as the protocol's parts. Raises RpcError if it is empty or too long."""
    parts: list[UserInput] = [TextInput(content)] if isinstance(content, str) else list(content)
    check_input(parts)
    return parts


def _turn_of(event: Any) -> str | None:
    """The id of the event's turn; None for an event of the thread."""
    if isinstance(event, TurnStartedNotification | TurnCompletedNotification):
        return event.turn.id
    turn_id: str | None = getattr(event, "turn_id", None)
    return turn_id
