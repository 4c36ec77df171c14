"""A turn for an application: a result that can be waited for, and any number of streams of its events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from weakref import ref

import trio

from spindle.actors.embedding.checking import listed
from spindle.actors.embedding.events import Event
from spindle.actors.embedding.failures import InvalidOption, ThreadClosed, failure
from spindle.actors.embedding.results import TurnResult, result_of
from spindle.actors.embedding.streams import Sink
from spindle.actors.embedding.subscription import Subscription
from spindle.actors.embedding.turn_log import TurnLog
from spindle.actors.kernel.mailbox import ActorExited
from spindle.actors.thread.messages import InterruptTurn, StartTurn, SteerTurn
from spindle.actors.thread.turns.watch import FinishedTurn, TurnWatch
from spindle.actors.turn.user_input import check_input
from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.invalid import InvalidValue
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import TextInput, UserInput


class Turn:
    """A running turn. Any number of tasks may use it at once.

    Iterate over it for its events, up to `TurnCompletedNotification`; then `result` is set. Each `async for` is a stream of
    its own, with all events since the turn began, or since this handle joined it. The last 4,096 events are kept, of which
    deltas are merged, and the last 4 MiB; a stream that needs older ones raises SubscriberLagged. That changes nothing for
    the turn, its result and other streams. Iterating raises TurnFailed after the completion of a failed turn, and
    ThreadClosed if the thread or the handle's block ends before the turn does. An interrupted turn ends without an
    exception; `result.status` says so.
    """

    def __init__(self, subscription: Subscription, log: TurnLog, id: str, watch: TurnWatch) -> None:
        self._subscription, self._log, self._watch = subscription, log, watch
        self.id: str = id

    def __repr__(self) -> str:
        finished = self._watch.finished
        return f"<Turn {self.id} {'running' if finished is None else finished.turn.status}>"

    @property
    def result(self) -> TurnResult[str] | None:
        """The turn as it ended; None while it runs, and if its thread has ended before it was recorded."""
        return None if self._watch.finished is None else result_of(self._watch.finished)

    @property
    def text(self) -> str:
        """The agent's last message so far."""
        result = self.result
        return self._log.text() if result is None else result.text

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._log.read(self._subscription.thread_id, self.id, self._ended)

    def _ended(self) -> None:
        """All events have been read."""
        if self._watch.finished is None:
            raise ThreadClosed(self._subscription.thread_id)
        completed(self._watch.finished)

    async def wait(self) -> TurnResult[str]:
        """Wait until the turn has ended and is recorded, however many of its events are read, and return its result.

        Also after the handle's block has ended, as long as the turn goes on. The result of an interrupted turn says so.
        Cancelling the wait does nothing to the turn. Raises TurnFailed (ProviderError if a request to the model failed),
        and ThreadClosed if the thread ends before the turn is recorded.
        """
        return await finish(self._subscription, self._watch)

    async def steer(self, content: str | Sequence[UserInput]) -> None:
        """Add input to the turn. Raises RpcError if it has ended, ThreadClosed."""
        parts = input_parts(content)
        await self._subscription.ask(lambda reply: SteerTurn(reply=reply, content=parts, expected_turn_id=self.id))

    async def interrupt(self) -> None:
        """Interrupt the turn, also for others that share it. Returns before it has ended: `wait` waits for that.

        Raises RpcError if it has already ended, ThreadClosed.
        """
        await self._subscription.ask(lambda reply: InterruptTurn(reply=reply, turn_id=self.id))


async def start(subscription: Subscription, params: TurnStartParams) -> Turn:
    """Start a turn that goes on by itself, or join the running one. If this is cancelled, `_begin` says what happens."""
    log = TurnLog()
    return Turn(subscription, log, *await _begin(subscription, params, log))


@asynccontextmanager
async def running(subscription: Subscription, params: TurnStartParams) -> AsyncGenerator[Turn]:
    """Start a turn for the length of the block, or join the running one. After the block, new streams are empty."""
    log = TurnLog()
    async with watched(subscription, params, log) as (id, watch):
        turn = Turn(subscription, log, id, watch)
        try:
            yield turn
        finally:
            # the events are freed with the last stream that still reads them
            turn._log = TurnLog(closed=True)  # pyright: ignore[reportPrivateUsage]


@asynccontextmanager
async def watched(
    subscription: Subscription, params: TurnStartParams, sink: Sink
) -> AsyncGenerator[tuple[str, TurnWatch]]:
    """Start a turn for the length of the block, or join the running one. `sink` gets its events."""
    id, watch = await _begin(subscription, params, sink)
    try:
        yield id, watch
    finally:
        await leave(watch)


async def _begin(subscription: Subscription, params: TurnStartParams, sink: Sink) -> tuple[str, TurnWatch]:
    """Start a turn, or join the running one. If this is cancelled, no turn starts, or one is interrupted and recorded."""
    kept = ref(sink)  # a turn that the application has dropped keeps no events

    def begun() -> None:
        if (sink := kept()) is not None:
            subscription.open(sink)

    def ended() -> None:
        if (sink := kept()) is not None:
            sink.close()

    watch = TurnWatch(begun, ended)
    try:
        turn = await subscription.ask(lambda reply: StartTurn(reply=reply, params=params, watch=watch))
    except BaseException:
        await leave(watch)
        raise
    return turn.id, watch


async def finish(subscription: Subscription, watch: TurnWatch) -> TurnResult[str]:
    """Wait for the end of a turn, and return its result. Raises TurnFailed, ThreadClosed."""
    try:
        finished = await watch.wait()
    except ActorExited as error:
        raise ThreadClosed(subscription.thread_id) from error
    return completed(finished)


def completed(finished: FinishedTurn) -> TurnResult[str]:
    """The result of a turn. Raises TurnFailed if it failed."""
    result = result_of(finished)
    if result.status == "failed":
        raise failure(result, finished.provider)
    return result


async def leave(watch: TurnWatch) -> None:
    """Withdraw from a turn. Wait for its end if it is ending, not if it never starts or goes on."""
    if watch.withdraw():
        # the wait is bounded by the end of an interrupted turn: its tools are killed within their limits, its record written
        with trio.CancelScope(shield=True), suppress(ActorExited):
            await watch.wait()


def input_parts(content: str | Sequence[UserInput]) -> list[UserInput]:
    """Input as the protocol's parts. Raises InvalidOption for anything else, RpcError if it is empty or too long."""
    if isinstance(content, str):
        parts: list[UserInput] = [TextInput(content)]
    else:
        try:
            parts = structure(unstructure(listed("content", content)), list[UserInput])
        except InvalidValue as error:
            raise InvalidOption("content", f"must be a text or a list of items.UserInput: {error}") from error
    check_input(parts)
    try:
        for part in parts:
            if isinstance(part, TextInput):
                part.text.encode()
    except UnicodeEncodeError as error:
        raise InvalidOption("content", f"must be a text that UTF-8 can have: {error.reason}") from error
    return parts
