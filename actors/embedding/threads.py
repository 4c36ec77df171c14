"""Threads as an application holds them: a block that is the subscription, and the handle inside it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from uuid_utils import uuid7

from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.questions import Question
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.embedding.approvals import Approve, approve_by, decline, subject
from spindle.actors.embedding.failures import ApprovalRequired, ThreadClosed, TurnFailed, TurnInterrupted
from spindle.actors.embedding.streams import Events, Streams
from spindle.actors.embedding.turns import TurnHandle, input_parts, leave
from spindle.actors.kernel.mailbox import ActorExited, Ask, Reply, answer
from spindle.actors.registry.messages import Leave, Resume, ToThread
from spindle.actors.registry.relocation import Archive
from spindle.actors.settings.client import Client
from spindle.actors.tasks.blocks import open_block
from spindle.actors.tasks.faults import explain
from spindle.actors.thread.loading.fork import FromFork
from spindle.actors.thread.loading.loading import FromRollout, NewThread
from spindle.actors.thread.messages import (
    Attach,
    Compact,
    Detach,
    InjectItems,
    ReadThread,
    RollBack,
    SetName,
    StartTurn,
)
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.tools.functions import FunctionTool, function_tools
from spindle.actors.turn.response_items import check_items
from spindle.rpc.protocol.errors import RpcError, ThreadNotFound, invalid_request
from spindle.rpc.protocol.items import FileChangeItem, UserInput
from spindle.rpc.protocol.threads import (
    Thread,
    ThreadForkParams,
    ThreadResumeParams,
    ThreadStartParams,
    ThreadStartResponse,
)
from spindle.rpc.protocol.turns import ItemStartedNotification, TurnStartParams

if TYPE_CHECKING:
    from spindle.actors.runtime import Runtime

T = TypeVar("T")

CLIENT = Client(originator="spindle", user_agent="spindle")


class ThreadHandle:
    """A thread one is subscribed to. `info` is how it was when it was started or resumed.

    Any number of tasks may use it at once. Once its block or the thread has ended, every method raises ThreadClosed.
    """

    def __init__(self, runtime: Runtime, streams: Streams, loaded: ThreadStartResponse, *, answers: bool) -> None:
        self._runtime, self._streams, self._answers = runtime, streams, answers
        self.info = loaded

    @property
    def id(self) -> str:
        """The thread's id."""
        return self.info.thread.id

    async def read(self, *, include_turns: bool = False) -> Thread:
        """The thread as it is now. Raises RpcError, ThreadClosed."""

        def message(reply: Reply[Any]) -> Ask[Any]:
            return ReadThread(reply=reply, include_turns=include_turns)

        thread: Thread = await self.ask(message)
        return thread

    async def rename(self, name: str) -> None:
        """Name the thread; blanks around the name are dropped. Raises RpcError, ThreadClosed."""
        self._require_open()
        name = name.strip()
        if not name:
            raise invalid_request("thread name must not be empty")
        await self.ask(lambda reply: SetName(reply=reply, name=name))

    async def roll_back(self, turns: int = 1) -> Thread:
        """Take the last `turns` turns back, and return the thread with those that are left.

        Files that they changed stay changed. Raises RpcError, while a turn runs too, and ThreadClosed.
        """
        self._require_open()
        if turns < 1:
            raise invalid_request("numTurns must be >= 1")

        def message(reply: Reply[Any]) -> Ask[Any]:
            return RollBack(reply=reply, count=turns)

        thread: Thread = await self.ask(message)
        return thread

    async def inject(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Add items of the Responses API to what the model sees, without a turn. Raises RpcError, ThreadClosed."""
        self._require_open()
        checked = check_items(items)
        await self.ask(lambda reply: InjectItems(reply=reply, items=checked))

    async def compact(self) -> None:
        """Have the model replace the history by a summary of it, and wait until it has.

        A running turn is let end first. Cancelled, the compaction is not begun, or interrupted and recorded; the history is
        then as it was, as it is after TurnFailed. Raises TurnFailed, TurnInterrupted, ThreadClosed, RpcError.
        """
        turn_id, watch = str(uuid7()), TurnWatch()
        try:
            await self.ask(lambda reply: Compact(reply=reply, turn_id=turn_id, watch=watch))
            turn = await watch.wait()
        except ActorExited as error:
            raise ThreadClosed(self.id) from error
        finally:
            await leave(watch)
        if turn.status != "completed":
            raise TurnInterrupted(turn) if turn.status == "interrupted" else TurnFailed(turn)

    def events(self) -> Events:
        """Every notification of the thread from now on, as objects of the vocabulary; ends when the thread is closed.

        Questions are among them, those of the thread's agents too; what else agents do is told to whoever resumes them.
        The first stream of a handle, be it of events or of a turn, begins at the start of the block. Each stream is on its
        own: one that is not read in time raises SubscriberLagged and stops nothing else. Raises ThreadClosed.
        """
        self._require_open()
        return self._streams.stream()

    @asynccontextmanager
    async def turn(self, content: str | Sequence[UserInput], **overrides: Any) -> AsyncGenerator[TurnHandle]:
        """Start a turn for the length of the block, or join the one that runs; `overrides` are fields of TurnStartParams.

        Behind a turn that takes no input any more, a compaction for instance, it waits; cancelled meanwhile, it starts
        nothing. Leaving the block early, or cancelling it, interrupts the turn and waits until it is recorded, unless
        other blocks share the turn: then it goes on for them. Raises RpcError, ThreadClosed.
        """
        self._require_open()
        params = TurnStartParams(thread_id=self.id, input=input_parts(content), **overrides)
        events, watch = self._streams.stream(), TurnWatch()
        handle: TurnHandle | None = None
        try:
            turn = await self.ask(lambda reply: StartTurn(reply=reply, params=params, watch=watch))
            handle = TurnHandle(self, events, watch, turn.id)
            yield handle
        finally:
            if handle is not None:
                await handle.close()
            else:
                events.end()
                await leave(watch)

    async def run(self, content: str | Sequence[UserInput], **overrides: Any) -> str:
        """Run a whole turn; returns the agent's last message, "" if it said nothing. `overrides` as for `turn`.

        A question of the agent is for the `approve` of this handle. Without one it is declined, the turn is interrupted, and
        ApprovalRequired raised. Raises TurnFailed, TurnInterrupted, ThreadClosed, RpcError, SubscriberLagged.
        """
        files: dict[str, Sequence[str]] = {}
        async with self.turn(content, **overrides) as turn:
            async for event in turn:
                if isinstance(event, ItemStartedNotification) and isinstance(event.item, FileChangeItem):
                    files[event.item.id] = [change.path for change in event.item.changes]
                elif isinstance(event, Question) and not self._answers and not event.settled:
                    decline(event)
                    asked: Any = event.params
                    raise ApprovalRequired(asked, subject(asked, files.get(getattr(asked, "item_id", ""), ())))
        if turn.result is not None and turn.result.status == "interrupted":
            raise TurnInterrupted(turn.result)
        return turn.text

    async def ask(self, message: Callable[[Reply[T]], Ask[T]]) -> T:
        """Send the thread the message that `message` builds around a Reply. Raises what it is refused with, ThreadClosed."""
        self._require_open()
        registry = self._runtime.registry
        try:
            return await answer(lambda reply: registry.route(ToThread(self.id, message(reply))))
        except (ActorExited, ThreadNotFound) as error:
            raise ThreadClosed(self.id) from error
        except RpcError as error:
            if self._streams.closed:
                raise ThreadClosed(self.id) from error
            raise

    def _require_open(self) -> None:
        if self._streams.closed:
            raise ThreadClosed(self.id)


@asynccontextmanager
async def start_thread(
    runtime: Runtime,
    *,
    tools: Sequence[Callable[..., Any]] = (),
    approve: Approve | None = None,
    **params: Any,
) -> AsyncGenerator[ThreadHandle]:
    """Start a thread and be subscribed to it inside the block.

    `params` are the fields of ThreadStartParams; a path-like `cwd` will do. `tools` are functions that the model may call,
    see `tools.functions`. `approve` is called with what the thread or one of its agents asks, and returns the answer
    (`Approve`); an exception in it declines the question and ends the block with that exception.
    Leaving the block unsubscribes, and the last subscriber to leave closes the thread.
    Raises RpcError; TypeError for a function whose signature has no JSON schema.
    """
    opening = NewThread(params=ThreadStartParams(**_plain(params)), client=CLIENT, functions=_functions(runtime, tools))

    def send(attach: Attach) -> None:
        runtime.registry.start(opening, attach)

    async with _subscribed(runtime, send, None, approve) as handle:
        yield handle


@asynccontextmanager
async def resume_thread(
    runtime: Runtime,
    thread_id: str,
    *,
    tools: Sequence[Callable[..., Any]] = (),
    approve: Approve | None = None,
    **params: Any,
) -> AsyncGenerator[ThreadHandle]:
    """Subscribe to a thread inside the block, loading it if it is not loaded. `params` as ThreadResumeParams.

    `tools` and `approve` as for `start_thread`; a thread that is loaded already keeps the tools it has.
    Raises ThreadNotFound, RpcError.
    """
    resume = ThreadResumeParams(thread_id=thread_id, **_plain(params))
    opening = FromRollout(params=resume, client=CLIENT, functions=_functions(runtime, tools))

    def send(attach: Attach) -> None:
        runtime.registry.route(Resume(thread_id, attach, opening))

    async with _subscribed(runtime, send, resume, approve) as handle:
        yield handle


@asynccontextmanager
async def fork_thread(
    runtime: Runtime,
    thread_id: str,
    *,
    tools: Sequence[Callable[..., Any]] = (),
    approve: Approve | None = None,
    **params: Any,
) -> AsyncGenerator[ThreadHandle]:
    """Start a thread with the history of another and be subscribed to it inside the block.

    `params` are the fields of ThreadForkParams; the turns taken over are in `info.thread.turns`. `tools` and `approve` as
    for `start_thread`. Raises ThreadNotFound, RpcError.
    """
    fork = ThreadForkParams(thread_id=thread_id, **_plain(params))
    opening = FromFork(params=fork, client=CLIENT, source=thread_id, functions=_functions(runtime, tools))

    def send(attach: Attach) -> None:
        runtime.registry.start(opening, attach)

    async with _subscribed(runtime, send, None, approve) as handle:
        yield handle


async def archive_thread(runtime: Runtime, thread_id: str) -> None:
    """Close the thread if it is loaded, and move its rollout to the archive. Raises ThreadNotFound, RpcError.

    Cancelled, it stops waiting; the thread is archived nevertheless.
    """

    def send(reply: Reply[None]) -> None:
        runtime.registry.route(Archive(thread_id, reply))

    await answer(send)


def _functions(runtime: Runtime, tools: Sequence[Callable[..., Any]]) -> list[FunctionTool]:
    return function_tools(tools, explain, runtime.services.workers.functions)


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """A path-like `cwd` as text."""
    return {**params, "cwd": os.fspath(params["cwd"])} if params.get("cwd") is not None else params


@asynccontextmanager
async def _subscribed(
    runtime: Runtime,
    send: Callable[[Attach], None],
    params: ThreadResumeParams | None,
    approve: Approve | None,
) -> AsyncGenerator[ThreadHandle]:
    """At the end it waits until the thread has let go; if that is cancelled, the thread does so when it comes to it."""
    context = copy_context()
    subscriber = Subscriber(Overflow.CLOSE, one_thread=True)

    def asked(question: Question) -> None:
        if approve is not None:  # in the application's context, and not in that of the thread that asks
            context.copy().run(nursery.start_soon, approve_by, approve, question)

    subscriber.outbox = streams = Streams(asked)

    def attach(reply: Reply[Any]) -> None:
        send(Attach(reply=reply, subscriber=subscriber, params=params, in_process=True))

    async with open_block() as nursery:
        try:
            loaded = await answer(attach)
            yield ThreadHandle(runtime, streams, loaded, answers=approve is not None)
        finally:
            streams.close()
            await _leave(runtime, subscriber)
            nursery.cancel_scope.cancel()


async def _leave(runtime: Runtime, subscriber: Subscriber) -> None:
    """Whoever resumes the thread next, after the last subscriber has left, loads it with the settings they ask for."""
    for thread_id in tuple(subscriber.threads):

        def send(reply: Reply[Any], thread_id: str = thread_id) -> None:
            runtime.registry.route(Leave(thread_id, Detach(reply=reply, subscriber=subscriber)))

        # no shield: cancelled, it is on its way nevertheless, and the cancellation goes on behind the block
        with suppress(trio.Cancelled, ActorExited, RpcError):
            await answer(send)
