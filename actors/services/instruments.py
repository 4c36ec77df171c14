"""Instruments: what an application, the log or OpenTelemetry is called with while threads work.

An instrument is called synchronously, on the trio thread, in the task that does the work. So it sees that task's context
variables, and those that it sets are seen by the work until the call that ends it. Each call for a start has its call for the
end, also after an error or a cancellation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping

if TYPE_CHECKING:
    from spindle.actors.tools.interface import Output
    from spindle.rpc.model.interface import ModelRequest, Usage
    from spindle.rpc.protocol.turns import TurnError, TurnStatus
    from spindle.rpc.protocol.user_input import UserInput

log = logging.getLogger("spindle")

TurnKind: TypeAlias = Literal["regular", "compact", "review", "command"]
"""What a turn does: it answers input, compacts the history, reviews changes, or runs a command of the user."""
Purpose: TypeAlias = Literal["answer", "compaction", "review"]
"""What a request to the model is for."""
ToolKind: TypeAlias = Literal["builtin", "function", "dynamic", "mcp"]
"""Where a tool comes from: Spindle, a function of the application, the client, an MCP server."""


@frozen(kw_only=True)
class ThreadInfo:
    """A loaded thread. An agent has the thread that started it as `parent_thread_id`, and a nickname and a role."""

    thread_id: str
    parent_thread_id: str | None
    agent_nickname: str | None
    agent_role: str | None
    model: str
    model_provider: str
    cwd: str
    ephemeral: bool


@frozen(kw_only=True)
class TurnInfo:
    """A turn that begins. `thread` is its thread as it was loaded; the other values are the turn's own."""

    thread: ThreadInfo
    turn_id: str
    kind: TurnKind
    model: str
    model_provider: str
    cwd: str
    input: Sequence[UserInput]
    """As the client sent it; empty if the turn takes none."""
    trace: Mapping[str, str]
    """The W3C trace context (`traceparent`, `tracestate`) that a client sent with its request; empty if it sent none."""

    @property
    def thread_id(self) -> str:
        """The id of its thread."""
        return self.thread.thread_id


@frozen(kw_only=True)
class TurnOutcome:
    """How a turn ended. `usage` is what its requests used, None if no answer has said. `seconds` are those of its work."""

    status: TurnStatus
    error: TurnError | None
    last_message: str | None
    usage: Usage | None
    seconds: float


@frozen(kw_only=True)
class RequestInfo:
    """A request to the model. A request that is repeated is one more, with an `attempt` higher by one; the first is 1.

    `server` is the URL without credentials, and None for a model without one. `request` is what is sent.
    """

    thread_id: str
    turn_id: str
    purpose: Purpose
    model: str
    model_provider: str
    server: str | None
    attempt: int
    request: ModelRequest


@frozen(kw_only=True)
class RequestOutcome:
    """How a request ended: with an answer, an `error`, or `cancelled`.

    `items` are the whole items that arrived. `seconds_to_first` is the time to the first event, None if there was none.
    """

    response_id: str | None
    model: str | None
    """The model that has answered, if the provider says which."""
    usage: Usage | None
    items: Sequence[Mapping[str, Any]]
    seconds_to_first: float | None
    seconds: float
    error: Exception | None = None
    cancelled: bool = False


@frozen(kw_only=True)
class ToolInfo:
    """A call of a tool. `arguments` is what the model sent: JSON, or for a `custom` tool text of its grammar."""

    thread_id: str
    turn_id: str
    call_id: str
    name: str
    namespace: str | None
    """That of an MCP server's tools begins with `mcp__`."""
    kind: ToolKind
    custom: bool
    arguments: str
    description: str


@frozen(kw_only=True)
class ToolOutcome:
    """How a call ended: `output` is for the model, also that of a call that has failed; None if it was cancelled.

    `error` is what the tool has raised. A function's exception is its output, so then the call has only `failed`.
    """

    output: Output | None
    seconds: float
    error: Exception | None = None
    failed: bool = False
    cancelled: bool = False


@frozen(kw_only=True)
class QuestionInfo:
    """A question to the clients: the protocol's `method`, such as `item/fileChange/requestApproval`, and its `params`."""

    id: int
    thread_id: str
    turn_id: str | None
    method: str
    params: object


@frozen(kw_only=True)
class QuestionOutcome:
    """The answer: a `result` as JSON values, or an `error`. `withdrawn`: it ended without one."""

    result: object = None
    error: Exception | None = None
    seconds: float
    withdrawn: bool = False


TRACE: Final[ContextVar[Mapping[str, str]]] = ContextVar("spindle_trace")
"""The trace context of the request that is handled, where a client has sent one."""

_TRACE_LIMIT: Final = 512
"""Longest member of a trace context, in characters. W3C lets a `tracestate` be cut to that."""


def carried(trace: object) -> Mapping[str, str]:
    """The usable members of a request's `trace`."""
    members = mapping(trace)
    return {
        name: value
        for name in ("traceparent", "tracestate")
        if isinstance(value := members.get(name), str) and len(value) <= _TRACE_LIMIT
    }


class Instrument:
    """Override what you want to know. Every method here does nothing.

    The methods must not block and cannot wait. An instrument that raises an Exception is removed, and the log says so; the work
    goes on.
    """

    def thread_loaded(self, thread: ThreadInfo) -> None:
        """A thread is in memory: started, resumed or forked, or started as an agent."""

    def thread_closed(self, thread: ThreadInfo) -> None:
        """It is no longer in memory."""

    def turn_started(self, turn: TurnInfo) -> None:
        """A turn begins. Called in the turn's task, which runs in a copy of the context of the turn's caller."""

    def turn_ended(self, turn: TurnInfo, outcome: TurnOutcome) -> None:
        """Its end is recorded, and the clients are notified."""

    def request_started(self, request: RequestInfo) -> None:
        """A request is sent to the model."""

    def request_ended(self, request: RequestInfo, outcome: RequestOutcome) -> None:
        """The answer is complete, or has failed."""

    def request_retried(self, request: RequestInfo, error: Exception, delay: float) -> None:
        """A request has failed and is sent again in `delay` seconds.

        If it failed before any answer, it goes on as the same request. If an answer broke off, `request_ended` came before, and
        another `request_started` follows.
        """

    def tool_started(self, tool: ToolInfo) -> None:
        """A call of a tool begins. Called in the call's own task."""

    def tool_ended(self, tool: ToolInfo, outcome: ToolOutcome) -> None:
        """The call has its output, or is cancelled."""

    def question_asked(self, question: QuestionInfo) -> None:
        """The clients are asked something. Called in the task that waits for the answer."""

    def question_answered(self, question: QuestionInfo, outcome: QuestionOutcome) -> None:
        """They have answered, or the question is withdrawn."""

    def propagate(self, carrier: dict[str, str]) -> None:
        """Add to `carrier` what another program needs to continue the trace. Called in the task that calls the program."""


class Instruments:
    """The instruments of a runtime. False if there are none: then nothing is made for them.

    Whether a thread is watched is decided when it is loaded, so each end that they get has had its start.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._all = tuple(instruments)

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, instruments: Iterable[Instrument]) -> None:
        """Call these too, for threads that are loaded from now on."""
        self._all = (*self._all, *instruments)

    def each(self, call: Callable[[Instrument], None], *, last_first: bool = False) -> None:
        """Call each of them. One that raises is removed."""
        for instrument in reversed(self._all) if last_first else self._all:
            try:
                call(instrument)
            except Exception:
                log.exception("the instrument %s has failed and is removed", type(instrument).__qualname__)
                self._all = tuple(other for other in self._all if other is not instrument)

    @contextmanager
    def turn(self, info: TurnInfo, outcome: Callable[[], TurnOutcome]) -> Generator[None]:
        """Around a turn. As in the methods below, `outcome` is called at the end."""
        self.each(lambda instrument: instrument.turn_started(info))
        try:
            yield
        finally:
            ended = outcome()
            self.each(lambda instrument: instrument.turn_ended(info, ended), last_first=True)

    @contextmanager
    def request(self, info: RequestInfo, outcome: Callable[[], RequestOutcome]) -> Generator[None]:
        """Around a request to the model."""
        self.each(lambda instrument: instrument.request_started(info))
        try:
            yield
        finally:
            ended = outcome()
            self.each(lambda instrument: instrument.request_ended(info, ended), last_first=True)

    @contextmanager
    def tool(self, info: ToolInfo, outcome: Callable[[], ToolOutcome]) -> Generator[None]:
        """Around a call of a tool."""
        self.each(lambda instrument: instrument.tool_started(info))
        try:
            yield
        finally:
            ended = outcome()
            self.each(lambda instrument: instrument.tool_ended(info, ended), last_first=True)

    @contextmanager
    def question(self, info: QuestionInfo, outcome: Callable[[], QuestionOutcome]) -> Generator[None]:
        """Around the wait for an answer."""
        self.each(lambda instrument: instrument.question_asked(info))
        try:
            yield
        finally:
            ended = outcome()
            self.each(lambda instrument: instrument.question_answered(info, ended), last_first=True)

    def carrier(self) -> dict[str, str]:
        """What a request to another program carries, so that it can continue the trace."""
        carrier: dict[str, str] = {}
        self.each(lambda instrument: instrument.propagate(carrier))
        return carrier


NONE: Final = Instruments()
"""Those of a thread that is not watched."""
