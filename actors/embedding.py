"""Threads for trio applications: a block that is the subscription, turns that are streams of typed events.

async with open_runtime() as runtime:
    async with start_thread(runtime, cwd=".") as thread:
        async with thread.turn("Explain this repository") as turn:
            async for event in turn:
                ...
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio
from uuid_utils import uuid7

from spindle.actors.client import Client
from spindle.actors.mailbox import ActorExited, Reply, answer
from spindle.actors.questions import Question
from spindle.actors.registry import Leave, Resume, ToThread
from spindle.actors.relocation import Archive
from spindle.actors.subscribers import Event, Overflow, Subscriber
from spindle.actors.thread.forking import FromFork, check_fork
from spindle.actors.thread.messages import (
    Attach,
    Compact,
    Detach,
    InjectItems,
    InterruptTurn,
    ReadThread,
    RollBack,
    SetName,
    StartTurn,
    SteerTurn,
)
from spindle.actors.thread.opening import FromRollout, NewThread, Opening
from spindle.actors.tools.functions import function_tools
from spindle.actors.turn.response_items import check_items
from spindle.actors.turn.user_input import check_input
from spindle.rpc.protocol.errors import RpcError, invalid_request
from spindle.rpc.protocol.items import AgentMessageItem, TextInput, UserInput
from spindle.rpc.protocol.threads import (
    Thread,
    ThreadForkParams,
    ThreadResumeParams,
    ThreadStartParams,
    ThreadStartResponse,
)
from spindle.rpc.protocol.turns import (
    ItemCompletedNotification,
    Turn,
    TurnCompletedNotification,
    TurnStartedNotification,
    TurnStartParams,
)

if TYPE_CHECKING:
    from spindle.actors.runtime import Runtime


class SubscriberLagged(Exception):
    """The events were not taken as fast as the thread produced them, and some are lost; resume the thread to go on."""


class TurnFailed(Exception):
    """The turn ended as failed; `turn` is how, with its error."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(turn.error.message if turn.error else "the turn failed")
        self.turn = turn


class ThreadHandle:
    """A thread one is subscribed to. `info` is how it was when it was started or resumed."""

    def __init__(self, runtime: Runtime, subscriber: Subscriber, loaded: ThreadStartResponse) -> None:
        self._runtime, self._subscriber = runtime, subscriber
        self.info = loaded

    @property
    def id(self) -> str:
        """The thread's id."""
        return self.info.thread.id

    async def read(self, *, include_turns: bool = False) -> Thread:
        """The thread as it is now. Raises RpcError."""

        def send(reply: Reply[Any]) -> None:
            message = ReadThread(reply=reply, include_turns=include_turns)
            self._runtime.registry.route(ToThread(self.id, message))

        thread: Thread = await answer(send)
        return thread

    async def rename(self, name: str) -> None:
        """Name the thread; blanks around the name are dropped. Raises RpcError."""
        name = name.strip()
        if not name:
            raise invalid_request("thread name must not be empty")

        def send(reply: Reply[None]) -> None:
            self._runtime.registry.route(ToThread(self.id, SetName(reply=reply, name=name)))

        await answer(send)

    async def roll_back(self, turns: int = 1) -> Thread:
        """Take the last `turns` turns back, and return the thread with those that are left.

        Files that they changed stay changed. Raises RpcError, while a turn runs too.
        """
        if turns < 1:
            raise invalid_request("numTurns must be >= 1")

        def send(reply: Reply[Thread]) -> None:
            self._runtime.registry.route(ToThread(self.id, RollBack(reply=reply, count=turns)))

        return await answer(send)

    async def inject(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Add items of the Responses API to what the model sees, without a turn. Raises RpcError."""
        checked = check_items(items)

        def send(reply: Reply[None]) -> None:
            self._runtime.registry.route(ToThread(self.id, InjectItems(reply=reply, items=checked)))

        await answer(send)

    async def compact(self) -> None:
        """Have the model replace the history by a summary of it, and wait until it has.

        A running turn is let end first. Raises TurnFailed (the history is then as it was), ActorExited if the thread ends
        before, RpcError, SubscriberLagged.
        """
        turn_id = str(uuid7())

        def send(reply: Reply[None]) -> None:
            self._runtime.registry.route(ToThread(self.id, Compact(reply=reply, turn_id=turn_id)))

        await answer(send)
        turn = await _end_of(turn_id, self.id, self._subscriber)
        if turn is None:
            raise ActorExited
        if turn.status != "completed":
            raise TurnFailed(turn)

    def events(self) -> Events:
        """Every notification of the thread from now on, as objects of the vocabulary; ends when the thread is closed.

        Questions are among them, those of the thread's agents too; what else agents do is told to whoever resumes them.

        One task at a time may take them, and a `turn` takes them too. Raises SubscriberLagged.
        """
        return Events(self._subscriber)

    @asynccontextmanager
    async def turn(self, content: str | Sequence[UserInput], **overrides: Any) -> AsyncGenerator[TurnHandle]:
        """Start a turn for the length of the block; `overrides` are the fields of TurnStartParams.

        Leaving the block early, or cancelling it, interrupts the turn and waits until it is recorded. Raises RpcError.
        """
        parts = [TextInput(content)] if isinstance(content, str) else list(content)
        check_input(parts)
        params = TurnStartParams(thread_id=self.id, input=parts, **overrides)

        def send(reply: Reply[Turn]) -> None:
            self._runtime.registry.route(ToThread(self.id, StartTurn(reply=reply, params=params)))

        await trio.lowlevel.checkpoint_if_cancelled()
        turn_id = ""
        with trio.CancelScope(shield=True):  # the answer is near, and without it the turn could not be interrupted
            turn_id = (await answer(send)).id
        handle = TurnHandle(self._runtime, self._subscriber, self.id, turn_id)
        try:
            yield handle
        finally:
            await handle.close()

    async def run(self, content: str | Sequence[UserInput], **overrides: Any) -> str:
        """Run a whole turn; returns the agent's last message, "" if it said nothing. Raises TurnFailed, RpcError."""
        async with self.turn(content, **overrides) as turn:
            async for _ in turn:
                pass
            return turn.text


class TurnHandle:
    """A running turn: iterate it for its events up to `TurnCompletedNotification`; then `result` is set."""

    def __init__(self, runtime: Runtime, subscriber: Subscriber, thread_id: str, id: str) -> None:
        self._runtime, self._subscriber, self._thread_id = runtime, subscriber, thread_id
        self._events = Events(subscriber)
        self.id = id
        self.result: Turn | None = None
        self.text = ""

    def __aiter__(self) -> TurnHandle:
        return self

    async def __anext__(self) -> Any:
        if self.result is not None:
            if self.result.status == "failed":
                raise TurnFailed(self.result)
            raise StopAsyncIteration
        while True:
            event = await anext(self._events)
            if isinstance(event, Question) and event.thread_id != self._thread_id:
                return event  # an agent's; nobody else is there to answer it
            if _turn_of(event) not in (None, self.id):
                continue  # left over from a turn before this one
            if isinstance(event, TurnCompletedNotification):
                self.result = event.turn
            elif isinstance(event, ItemCompletedNotification) and isinstance(event.item, AgentMessageItem):
                self.text = event.item.text
            return event

    async def steer(self, content: str | Sequence[UserInput]) -> None:
        """Add input to the turn. Raises RpcError if it has ended."""
        parts = [TextInput(content)] if isinstance(content, str) else list(content)
        check_input(parts)

        def send(reply: Reply[str]) -> None:
            message = SteerTurn(reply=reply, content=parts, expected_turn_id=self.id)
            self._runtime.registry.route(ToThread(self._thread_id, message))

        await answer(send)

    async def interrupt(self) -> None:
        """End the turn now; its completion is among the events. Raises RpcError if it has ended already."""

        def send(reply: Reply[None]) -> None:
            self._runtime.registry.route(ToThread(self._thread_id, InterruptTurn(reply=reply, turn_id=self.id)))

        await answer(send)

    async def close(self) -> None:
        """Interrupt the turn unless it has ended, and wait for its end; shielded, so that a cancelled block is tidy."""
        if self.result is None:
            with trio.CancelScope(shield=True):
                with suppress(RpcError, ActorExited):  # it may be ending already
                    await self.interrupt()
                with suppress(SubscriberLagged):  # then its end is among what was lost
                    self.result = await _end_of(self.id, self._thread_id, self._subscriber)


async def _end_of(turn_id: str, thread_id: str, subscriber: Subscriber) -> Turn | None:
    """Pass over events up to the end of a turn, and return how it ended; None if the thread has ended before.

    Questions of agents are left for whoever takes events next, for nobody else is there to answer them.
    """
    kept: list[Question] = []
    try:
        async for event in Events(subscriber):
            if isinstance(event, TurnCompletedNotification) and event.turn.id == turn_id:
                return event.turn
            if isinstance(event, Question) and event.thread_id != thread_id:
                kept.append(event)
        return None
    finally:
        subscriber.pending.extendleft(reversed(kept))


def _turn_of(event: Any) -> str | None:
    """The id of the turn an event belongs to, None for those of the thread."""
    if isinstance(event, TurnStartedNotification | TurnCompletedNotification):
        return event.turn.id
    turn_id: str | None = getattr(event.params if isinstance(event, Question) else event, "turn_id", None)
    return turn_id


def _seen(event: Event) -> Any:
    """What an application gets of an event: the notification, or a question that it can answer."""
    return event if isinstance(event, Question) else event.params


class Events:
    """What reaches a subscriber, event by event; a cancelled or abandoned iteration loses none."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Any:
        outbox, pending = self._subscriber.outbox, self._subscriber.pending
        while not pending:
            taken = await outbox.take()
            if not taken:
                if outbox.overflowed:
                    raise SubscriberLagged
                raise StopAsyncIteration
            pending.extend(_seen(event) for event in taken if isinstance(event, Event))
        return pending.popleft()

    async def aclose(self) -> None:
        """Nothing has to be released; for `contextlib.aclosing`."""


CLIENT = Client(originator="spindle", user_agent="spindle")


@asynccontextmanager
async def start_thread(
    runtime: Runtime, *, tools: Sequence[Callable[..., Any]] = (), **params: Any
) -> AsyncGenerator[ThreadHandle]:
    """Start a thread and be subscribed to it inside the block.

    `params` are the fields of ThreadStartParams; a path-like `cwd` will do. `tools` are functions that the model may call,
    see `tools.functions`. Leaving the block unsubscribes, and the last subscriber to leave closes the thread.
    Raises RpcError; TypeError for a function whose signature cannot be told to a model.
    """
    if "cwd" in params:
        params["cwd"] = os.fspath(params["cwd"])
    opening = NewThread(params=ThreadStartParams(**params), client=CLIENT, functions=function_tools(tools))

    def send(attach: Attach) -> None:
        runtime.registry.start(opening, attach)

    async with _subscribed(runtime, send, None) as handle:
        yield handle


@asynccontextmanager
async def resume_thread(
    runtime: Runtime, thread_id: str, *, tools: Sequence[Callable[..., Any]] = (), **params: Any
) -> AsyncGenerator[ThreadHandle]:
    """Subscribe to a thread inside the block, loading it if it is not loaded. `params` as ThreadResumeParams.

    `tools` as for `start_thread`; a thread that is loaded already keeps those it has.
    """
    resume = ThreadResumeParams(thread_id=thread_id, **params)
    opening: Opening = FromRollout(params=resume, client=CLIENT, functions=function_tools(tools))

    def send(attach: Attach) -> None:
        runtime.registry.route(Resume(thread_id, attach, opening))

    async with _subscribed(runtime, send, resume) as handle:
        yield handle


@asynccontextmanager
async def fork_thread(
    runtime: Runtime, thread_id: str, *, tools: Sequence[Callable[..., Any]] = (), **params: Any
) -> AsyncGenerator[ThreadHandle]:
    """Start a thread with the history of another and be subscribed to it inside the block.

    `params` are the fields of ThreadForkParams; the turns taken over are in `info.thread.turns`. `tools` as for
    `start_thread`. Raises RpcError.
    """
    if "cwd" in params:
        params["cwd"] = os.fspath(params["cwd"])
    fork = ThreadForkParams(thread_id=thread_id, **params)
    check_fork(runtime.registry, thread_id, fork)
    opening = FromFork(params=fork, client=CLIENT, source=thread_id, functions=function_tools(tools))

    def send(attach: Attach) -> None:
        runtime.registry.start(opening, attach)

    async with _subscribed(runtime, send, None) as handle:
        yield handle


async def archive_thread(runtime: Runtime, thread_id: str) -> None:
    """Close the thread if it is loaded, and move its rollout to the archive. Raises RpcError."""

    def send(reply: Reply[None]) -> None:
        runtime.registry.route(Archive(thread_id, reply))

    await answer(send)


@asynccontextmanager
async def _subscribed(
    runtime: Runtime, send: Callable[[Attach], None], params: ThreadResumeParams | None
) -> AsyncGenerator[ThreadHandle]:
    subscriber = Subscriber(Overflow.CLOSE, one_thread=True)

    def attach(reply: Reply[Any]) -> None:
        send(Attach(reply=reply, subscriber=subscriber, params=params, in_process=True))

    try:
        loaded = await answer(attach)
        yield ThreadHandle(runtime, subscriber, loaded)
    finally:
        subscriber.outbox.close()
        for thread_id in tuple(subscriber.threads):

            def leave(reply: Reply[Any], thread_id: str = thread_id) -> None:
                runtime.registry.route(Leave(thread_id, Detach(reply=reply, subscriber=subscriber)))

            with trio.CancelScope(shield=True), suppress(RpcError, ActorExited):
                await answer(leave)
