"""Threads for an application: a block that is the subscription, and the handle inside it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import trio
from uuid_utils import uuid7

from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.questions import Question as Delivered
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.embedding.asking import ApprovalRequired, OnQuestion, answer_by
from spindle.actors.embedding.checking import check_callback, check_count, check_folder, check_text, listed
from spindle.actors.embedding.failures import InvalidOption, TurnInterrupted
from spindle.actors.embedding.options import (
    ForkOptions,
    ResumeOptions,
    StartOptions,
    TurnOptions,
    parameters,
)
from spindle.actors.embedding.questions import DynamicToolCall, Question, shown
from spindle.actors.embedding.results import TurnResult
from spindle.actors.embedding.stored import archive_thread, known_form
from spindle.actors.embedding.streams import Events, Questions, Streams
from spindle.actors.embedding.subscription import Subscription
from spindle.actors.embedding.turns import Turn, finish, input_parts, leave, running, start, watched
from spindle.actors.embedding.typed import typed
from spindle.actors.kernel.mailbox import ActorExited, Ask, Reply, answer
from spindle.actors.registry.messages import Leave, Resume
from spindle.actors.settings.client import ClientName
from spindle.actors.tasks.blocks import open_block
from spindle.actors.tasks.faults import explain
from spindle.actors.thread.loading.openings import FromFork, FromRollout, NewThread
from spindle.actors.thread.messages import (
    Attach,
    Compact,
    Detach,
    InjectItems,
    InterruptTurn,
    ReadThread,
    RevertTurns,
    RollBack,
    SetName,
    SteerTurn,
)
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.tools.functions.answers import AnswerType
from spindle.actors.tools.functions.calls import Application, BoundTool, bound_tools
from spindle.actors.turn.response_items import check_items
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.errors import RpcError, invalid_request
from spindle.rpc.protocol.threads import (
    Thread,
    ThreadForkParams,
    ThreadReadResponse,
    ThreadResumeParams,
    ThreadStartParams,
    ThreadStartResponse,
)
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import UserInput
from spindle.storage.config import ConfigError

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from spindle.actors.registry.backend import Backend

T = TypeVar("T")

CLIENT = ClientName(originator="spindle", user_agent="spindle")


class ThreadHandle:
    """A subscribed thread. `info` is the thread as it was when it was started, resumed or forked.

    Any number of tasks may use it at once. When its block or the thread has ended, every method raises ThreadClosed.
    """

    def __init__(
        self, subscription: Subscription, loaded: ThreadStartResponse, on_question: OnQuestion | None
    ) -> None:
        self._subscription, self._on_question = subscription, on_question
        self.info: ThreadStartResponse = loaded

    @property
    def id(self) -> str:
        """The thread's id."""
        return self.info.thread.id

    async def read(self, *, include_turns: bool = False) -> Thread:
        """The thread as it is now. Raises RpcError, ThreadClosed."""

        def message(reply: Reply[Any]) -> Ask[Any]:
            return ReadThread(reply=reply, include_turns=include_turns)

        read: ThreadReadResponse = await self._subscription.ask(message)
        return read.thread

    async def rename(self, name: str) -> None:
        """Name the thread. The name is stripped. Raises RpcError, ThreadClosed."""
        self._subscription.require_open()
        check_text("name", name)
        name = name.strip()
        if not name:
            raise invalid_request("thread name must not be empty")
        await self._subscription.ask(lambda reply: SetName(reply=reply, name=name))

    async def roll_back(self, turns: int = 1) -> Thread:
        """Remove the last `turns` turns from the thread, and return it with the others.

        Files that the turns changed stay changed. Raises RpcError, also while a turn runs, and ThreadClosed.
        """
        self._subscription.require_open()
        check_count("turns", turns, sys.maxsize)

        def message(reply: Reply[Any]) -> Ask[Any]:
            return RollBack(reply=reply, count=turns)

        thread: Thread = await self._subscription.ask(message)
        return thread

    async def revert(self, before_turn_id: str) -> Thread:
        """Remove a turn and all later ones from the thread, and return it without turns. A running turn is interrupted first.

        Files that the turns changed stay changed. Raises RpcError, also if the thread has no such turn, and ThreadClosed.
        """
        thread, _ = await self._subscription.ask(lambda reply: RevertTurns(reply=reply, before_turn_id=before_turn_id))
        return thread

    def fork(
        self,
        *,
        after_turn: str | None = None,
        tools: Sequence[object] = (),
        deps: object = None,
        on_question: OnQuestion | None = None,
        **options: Unpack[ForkOptions],
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """Start a thread with the history of this one, up to the end of the turn `after_turn`. See `Runtime.fork_thread`.

        Without `after_turn`, the fork has all that is recorded, and a turn that runs is interrupted in it. Without
        `on_question`, that of this handle answers. Raises RpcError, also if the thread has no such turn or it still runs,
        ThreadClosed, InvalidOption, TypeError.
        """
        self._subscription.require_open()
        if after_turn is not None:
            if options.get("last_turn_id") is not None:
                raise TypeError("after_turn and last_turn_id are the same option")
            options["last_turn_id"] = after_turn
        backend, asked = self._subscription.backend, check_callback(on_question) or self._on_question
        return fork_thread(backend, self.id, Toolset(tools, deps), asked, options)

    async def archive(self) -> None:
        """Close the thread and move its rollout to the archive, see `Runtime.archive_thread`. Every handle of it is closed.

        Raises RpcError, ThreadClosed.
        """
        self._subscription.require_open()
        await archive_thread(self._subscription.backend, self.id)

    async def inject(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Add items of the Responses API to the history for the model, without a turn. Raises RpcError, ThreadClosed."""
        self._subscription.require_open()
        checked = check_items(listed("items", items))
        await self._subscription.ask(lambda reply: InjectItems(reply=reply, items=checked))

    async def compact(self) -> None:
        """Replace the history by a summary that the model writes, and wait for that.

        A running turn ends first. If this is cancelled, the compaction does not start, or is interrupted and recorded.
        After that, and after TurnFailed, the history is as it was. Raises TurnFailed, TurnInterrupted, ThreadClosed,
        RpcError.
        """
        turn_id, watch = str(uuid7()), TurnWatch()
        try:
            await self._subscription.ask(lambda reply: Compact(reply=reply, turn_id=turn_id, watch=watch))
            result = await finish(self._subscription, watch)
        finally:
            await leave(watch)
        if result.status == "interrupted":
            raise TurnInterrupted(result)

    def events(self) -> Events:
        """Every notification of the thread from now on, as objects of `rpc.protocol`. Ends when the thread is closed.

        Questions of the thread and of its agents are among them. To get an agent's other events, resume the agent. The first
        stream of a handle, of events or of a turn, begins at the start of the block. A stream that is not read in time raises
        SubscriberLagged and affects nothing else. Raises ThreadClosed.
        """
        return self._subscription.stream()

    def turn(
        self, content: str | Sequence[UserInput], **options: Unpack[TurnOptions]
    ) -> AbstractAsyncContextManager[Turn]:
        """Start a turn for the length of the block, or join the running one. See `TurnOptions`.

        If the running turn takes no more input, for example a compaction, this waits for its end; cancelled meanwhile, it
        starts nothing. Leaving the block early, or cancelling it, interrupts the turn and waits until it is recorded. If
        others share the turn, it goes on for them. Raises RpcError, ThreadClosed, InvalidOption.
        """
        return self._turn(self._params(content, options))

    @asynccontextmanager
    async def _turn(self, params: TurnStartParams) -> AsyncGenerator[Turn]:
        await self._check(params)
        async with running(self._subscription, params) as turn:
            yield turn

    async def start_turn(self, content: str | Sequence[UserInput], **options: Unpack[TurnOptions]) -> Turn:
        """Start a turn that goes on by itself, or join the running one. See `TurnOptions`.

        The turn goes on when the task that has started it is cancelled or ends. It belongs to the thread: when the last
        subscriber of that has left, `on_unsubscribe` of config.toml says whether it goes on; the end of the runtime
        interrupts it. Cancelled before it returns, this starts nothing, or interrupts and records what it has started.
        Raises RpcError, ThreadClosed, InvalidOption.
        """
        params = self._params(content, options)
        await self._check(params)
        return await start(self._subscription, params)

    @overload
    async def run(self, content: str | Sequence[UserInput], **options: Unpack[TurnOptions]) -> TurnResult[str]: ...
    @overload
    async def run(
        self, content: str | Sequence[UserInput], *, output_type: TypeForm[T], **options: Unpack[TurnOptions]
    ) -> TurnResult[T]: ...
    async def run(
        self, content: str | Sequence[UserInput], *, output_type: Any = None, **options: Unpack[TurnOptions]
    ) -> TurnResult[Any]:
        """Run a whole turn and return its result, in which `output` is the agent's last message. See `TurnOptions`.

        `output_type` is the type of the answer, such as a dataclass, `list[int]` or a union: any that a tool may take, except
        Any. The model is held to its JSON schema, and `output` is the value. If the answer does not fit, a second turn says
        why, and the result is that of this turn. If it still does not fit, OutputInvalid is raised.

        The `on_question` of this handle answers the agent's questions. Without one, a question is declined, the turn is
        interrupted and ApprovalRequired is raised. A call of one of the `dynamic_tools` fails, unless there is another stream
        of this handle that may answer it. Cancelling this interrupts the turn. Raises TurnFailed (ProviderError if a request
        to the model failed), TurnInterrupted, ThreadClosed, RpcError, InvalidOption; TypeError for a type without a schema.
        """
        if output_type is None:
            return await self._run(self._params(content, options))
        if options.get("output_schema") is not None:
            raise InvalidOption("output_schema", "must not be given together with output_type")
        answers = AnswerType[Any](output_type)
        params = self._params(content, {**options, "output_schema": answers.schema})
        return await typed(answers, self._run, params)

    async def _run(self, params: TurnStartParams) -> TurnResult[str]:
        await self._check(params)
        questions = Questions()
        async with watched(self._subscription, params, questions) as (_, watch):
            async for question in questions:
                if isinstance(question, DynamicToolCall):
                    if not self._subscription.read:
                        question.fail("the application does not answer calls of its dynamic tools here")
                elif isinstance(question, Question) and self._on_question is None and not question.settled:
                    question.decline()
                    raise ApprovalRequired(question)
            if watch.finished is None:
                self._subscription.require_open()  # the turn goes on, but nothing answers its questions now
            result = await finish(self._subscription, watch)
        if result.status == "interrupted":
            raise TurnInterrupted(result)
        return result

    async def interrupt(self) -> None:
        """Interrupt the running turn, no matter who has started it. Returns before it has ended.

        Raises RpcError if none runs, ThreadClosed.
        """
        await self._subscription.ask(lambda reply: InterruptTurn(reply=reply, turn_id=None))

    async def steer(self, content: str | Sequence[UserInput]) -> str:
        """Add input to the running turn, no matter who has started it. Returns the turn's id.

        Raises RpcError if none runs or it takes no input, ThreadClosed.
        """
        parts = input_parts(content)
        return await self._subscription.ask(lambda reply: SteerTurn(reply=reply, content=parts, expected_turn_id=None))

    def _params(self, content: str | Sequence[UserInput], options: Mapping[str, Any]) -> TurnStartParams:
        self._subscription.require_open()
        return parameters(TurnStartParams, TurnOptions, options, thread_id=self.id, input=input_parts(content))

    async def _check(self, params: TurnStartParams) -> None:
        self._subscription.require_open()
        await check_folder(params.cwd, self._subscription.cwd)


@frozen
class Toolset:
    """The tools that a program gives to a thread, and their `deps`."""

    sources: Sequence[object]
    deps: object

    def bound(self, backend: Backend) -> Sequence[BoundTool]:
        """The tools for a thread. Raises TypeError, RpcError."""
        sources = listed("tools", self.sources)
        return bound_tools(sources, Application(explain, backend.services.workers.functions, self.deps))


def start_thread(
    backend: Backend, tools: Toolset, on_question: OnQuestion | None, options: StartOptions
) -> AbstractAsyncContextManager[ThreadHandle]:
    """See `Runtime.start_thread`."""
    params = parameters(ThreadStartParams, StartOptions, options)
    opening = NewThread(params=params, client=CLIENT, functions=tools.bound(backend))

    def send(attach: Attach) -> None:
        backend.registry.start(opening, attach)

    return _subscribed(backend, send, params.cwd, None, on_question)


def resume_thread(
    backend: Backend,
    thread_id: str,
    tools: Toolset,
    on_question: OnQuestion | None,
    options: ResumeOptions,
) -> AbstractAsyncContextManager[ThreadHandle]:
    """See `Runtime.resume_thread`."""
    params = parameters(ThreadResumeParams, ResumeOptions, options, thread_id=thread_id)
    thread_id = known_form(thread_id)
    opening = FromRollout(params=params, client=CLIENT, functions=tools.bound(backend))

    def send(attach: Attach) -> None:
        backend.registry.route(Resume(thread_id, attach, opening))

    return _subscribed(backend, send, params.cwd, params, on_question)


def fork_thread(
    backend: Backend,
    thread_id: str,
    tools: Toolset,
    on_question: OnQuestion | None,
    options: ForkOptions,
) -> AbstractAsyncContextManager[ThreadHandle]:
    """See `Runtime.fork_thread`."""
    params = parameters(ThreadForkParams, ForkOptions, options, thread_id=thread_id)
    thread_id = known_form(thread_id)
    opening = FromFork(params=params, client=CLIENT, source=thread_id, functions=tools.bound(backend))

    def send(attach: Attach) -> None:
        backend.registry.start(opening, attach)

    return _subscribed(backend, send, params.cwd, None, on_question)


@asynccontextmanager
async def _subscribed(
    backend: Backend,
    send: Callable[[Attach], None],
    cwd: str | None,
    params: ThreadResumeParams | None,
    on_question: OnQuestion | None,
) -> AsyncGenerator[ThreadHandle]:
    """The block of a subscription. Its end waits until it is unsubscribed, unless that is cancelled."""
    await check_folder(cwd, backend.cwd)
    context = copy_context()
    subscriber = Subscriber(Overflow.CLOSE, one_thread=True)

    def asked(delivered: Delivered) -> None:
        question = shown(delivered)
        if on_question is not None and not isinstance(question, DynamicToolCall):
            # in the application's context, not in that of the asking thread
            context.copy().run(nursery.start_soon, answer_by, on_question, question)

    subscriber.outbox = streams = Streams(asked)

    def attach(reply: Reply[Any]) -> None:
        send(Attach(reply=reply, subscriber=subscriber, params=params, in_process=True))

    async with open_block() as nursery:
        try:
            loaded = await _loaded(attach)
            yield ThreadHandle(Subscription(backend, streams, loaded.thread.id), loaded, on_question)
        finally:
            streams.close()
            await _leave(backend, subscriber)
            nursery.cancel_scope.cancel()


async def _loaded(attach: Callable[[Reply[Any]], None]) -> ThreadStartResponse:
    """What a thread is subscribed with. A configuration that is refused is a ConfigError here, and no failed request."""
    try:
        loaded: ThreadStartResponse = await answer(attach)
    except RpcError as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise
    return loaded


async def _leave(backend: Backend, subscriber: Subscriber) -> None:
    """Unsubscribe, and wait for that: a later resume then loads the thread with the settings of its own request."""
    for thread_id in tuple(subscriber.threads):

        def send(reply: Reply[Any], thread_id: str = thread_id) -> None:
            backend.registry.route(Leave(thread_id, Detach(reply=reply, subscriber=subscriber)))

        # no shield: the message is sent even if the wait is cancelled, and the cancellation continues after the block
        with suppress(trio.Cancelled, ActorExited, RpcError):
            await answer(send)
