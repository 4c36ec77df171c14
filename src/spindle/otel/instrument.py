"""The instrument: a span for each turn, request, call and question, and the metrics of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from importlib.metadata import version
from typing import Any, TypeAlias, cast

from attrs import define
from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spindle.actors.services.instruments import (
    Instrument,
    QuestionInfo,
    QuestionOutcome,
    RequestInfo,
    RequestOutcome,
    ToolInfo,
    ToolOutcome,
    TurnInfo,
    TurnOutcome,
)
from spindle.otel import attributes as make
from spindle.otel import content as shown
from spindle.otel.attributes import Attributes, error_type
from spindle.otel.content import Content
from spindle.otel.metrics import Metrics
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.user_input import TextInput

_Info: TypeAlias = TurnInfo | RequestInfo | ToolInfo | QuestionInfo


@define(eq=False)
class _Open:
    """A span that has not ended. `token` is that of the context in which it is the current span."""

    info: _Info
    span: Span
    token: Token[Context] | None = None


class OpenTelemetryInstrument(Instrument):
    """Spans and metrics by OpenTelemetry's semantic conventions for generative AI.

    Each turn is a span `invoke_agent`, a child of the span that is current where the turn is started. In it, each request to a
    model is a span `chat`, each call of a tool a span `execute_tool`, and each question to the user a span `spindle.question`.
    The turn of an agent is a child of the call that started it. Work runs with its span as the current one, so the spans of a
    function, of an instrumented HTTP client and of an MCP server that knows the conventions are its children.

    tracer_provider, meter_provider: by default the global ones.
    content: also record prompts, answers, and what tools are given and give back, up to 64 KiB each. They may be confidential.
    agent_name: the name of agents that have no nickname.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        content: bool | Content = False,
        *,
        agent_name: str = "spindle",
    ) -> None:
        if not isinstance(cast("object", content), bool | Content):
            raise TypeError(f"content is True, False or a Content, not {content!r}")
        ours = version("spindle")
        self._tracer = trace.get_tracer("spindle", ours, tracer_provider)
        self._metrics = Metrics(metrics.get_meter("spindle", ours, meter_provider))
        everything = Content(prompts=True, responses=True, tools=True)
        self._content = content if isinstance(content, Content) else everything if content else Content()
        self._agent_name = agent_name
        self._open: dict[int, _Open] = {}
        """By the id of the record, which is the same one at both ends."""
        self._turns: dict[str, Span] = {}
        self._propagator = TraceContextTextMapPropagator()

    # -- turns

    def turn_started(self, turn: TurnInfo) -> None:
        """See Instrument."""
        name = self._name(turn)
        attributes = make.of_turn(turn, name) | make.of_turns_span(turn)
        if self._content.prompts and turn.input:
            texts = [part.text for part in turn.input if isinstance(part, TextInput)]
            attributes["gen_ai.input.messages"] = shown.said("user", texts)
        context: Context | None = None
        if turn.trace and not trace.get_current_span().get_span_context().is_valid:
            context = self._propagator.extract(turn.trace)  # the client of a daemon has begun the trace
        self._turns[turn.turn_id] = self._start(turn, f"invoke_agent {name}", SpanKind.INTERNAL, attributes, context)

    def turn_ended(self, turn: TurnInfo, outcome: TurnOutcome) -> None:
        """See Instrument."""
        self._turns.pop(turn.turn_id, None)
        attributes = make.of_usage(outcome.usage)
        if outcome.status != "completed":
            attributes["spindle.turn.status"] = outcome.status
        if self._content.responses and outcome.last_message is not None:
            message = shown.said("assistant", [outcome.last_message], finish_reason="stop")
            attributes["gen_ai.output.messages"] = message
        failure: str | None = None
        if outcome.status == "failed":
            failure = make.name_of(getattr(outcome.error, "codex_error_info", None)) or "_OTHER"
        self._metrics.turn_duration.record(outcome.seconds, make.of_turn(turn, self._name(turn)) | _failed(failure))
        self._end(turn, attributes, failure, getattr(outcome.error, "message", None))

    # -- requests to the model

    def request_started(self, request: RequestInfo) -> None:
        """See Instrument."""
        attributes = make.of_request(request) | make.of_requests_span(request)
        span = self._start(request, f"chat {request.model}", SpanKind.CLIENT, attributes)
        if self._content and span.is_recording():
            sent, wanted = request.request, self._content
            if wanted.prompts:
                span.set_attribute("gen_ai.system_instructions", shown.instructions(sent.instructions))
            span.set_attribute("gen_ai.input.messages", shown.input_messages(sent.input, wanted))

    def request_ended(self, request: RequestInfo, outcome: RequestOutcome) -> None:
        """See Instrument."""
        attributes = make.of_answer(outcome)
        if self._content and outcome.items:
            reason = make.finish_reason(outcome)
            attributes["gen_ai.output.messages"] = shown.output_messages(outcome.items, self._content, reason)
        failure = None if outcome.error is None else error_type(outcome.error)
        measured = make.of_request(request)
        if outcome.model is not None:
            measured["gen_ai.response.model"] = outcome.model
        if outcome.usage is not None:
            self._metrics.tokens(outcome.usage.input_tokens, outcome.usage.output_tokens, measured)
        if outcome.seconds_to_first is not None:
            self._metrics.first_chunk.record(outcome.seconds_to_first, measured)
        self._metrics.request_duration.record(outcome.seconds, measured | _failed(failure))
        description = None if outcome.error is None else str(outcome.error)
        self._end(request, attributes, failure, description, cancelled=outcome.cancelled)

    def request_retried(self, request: RequestInfo, error: Exception, delay: float) -> None:
        """See Instrument."""
        opened = self._open.get(id(request))
        span = opened.span if opened is not None else self._turns.get(request.turn_id)
        if span is not None:
            attributes: Attributes = {
                "error.type": error_type(error),
                "spindle.request.attempt": request.attempt,
                "spindle.retry.delay": delay,
            }
            span.add_event("spindle.request.retry", attributes)

    # -- calls of tools

    def tool_started(self, tool: ToolInfo) -> None:
        """See Instrument."""
        attributes = make.of_tool(tool) | make.of_tools_span(tool)
        if self._content.tools:
            attributes["gen_ai.tool.call.arguments"] = shown.cut(tool.arguments)
        self._start(tool, f"execute_tool {tool.name}", SpanKind.INTERNAL, attributes)

    def tool_ended(self, tool: ToolInfo, outcome: ToolOutcome) -> None:
        """See Instrument."""
        attributes: Attributes = {}
        if self._content.tools and outcome.output is not None:
            attributes["gen_ai.tool.call.result"] = shown.output_text(outcome.output)
        failure: str | None = None
        if outcome.failed and not outcome.cancelled:
            failure = "tool_error" if outcome.error is None else error_type(outcome.error)
        self._metrics.tool_duration.record(outcome.seconds, make.of_tool(tool) | _failed(failure))
        description = str(outcome.error) if self._content.tools and outcome.error is not None else None
        self._end(tool, attributes, failure, description, cancelled=outcome.cancelled)

    # -- questions to the user

    def question_asked(self, question: QuestionInfo) -> None:
        """See Instrument."""
        attributes: Attributes = {
            "gen_ai.conversation.id": question.thread_id,
            "spindle.question.method": question.method,
        }
        context = self._of_turn(question.turn_id)
        self._start(question, "spindle.question", SpanKind.INTERNAL, attributes, context, current=False)

    def question_answered(self, question: QuestionInfo, outcome: QuestionOutcome) -> None:
        """See Instrument."""
        result = mapping(outcome.result)
        decision = make.name_of(result.get("decision") or result.get("action"))
        attributes: Attributes = {} if decision is None else {"spindle.question.decision": decision}
        failure = None if outcome.error is None else error_type(outcome.error)
        self._end(question, attributes, failure, None, cancelled=outcome.withdrawn)

    def propagate(self, carrier: dict[str, str]) -> None:
        """Add the W3C trace context of the current span. Baggage stays in the process: it is the application's own."""
        self._propagator.inject(carrier)

    # -- inner workings

    def _name(self, turn: TurnInfo) -> str:
        return turn.thread.agent_nickname or self._agent_name

    def _of_turn(self, turn_id: str | None) -> Context | None:
        """The context of a question's span: the current one if it is of the turn, else the turn's. An MCP server asks in a task
        of its own, which may have been started by another turn.
        """
        turn = self._turns.get(turn_id or "")
        current = trace.get_current_span()
        if turn is None or current.get_span_context().trace_id == turn.get_span_context().trace_id:
            return None
        return trace.set_span_in_context(turn)

    def _start(
        self,
        info: _Info,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        context: Context | None = None,
        *,
        current: bool = True,
    ) -> Span:
        span = self._tracer.start_span(name, context, kind, attributes)
        token = contexts.attach(trace.set_span_in_context(span, context)) if current else None
        self._open[id(info)] = _Open(info, span, token)
        return span

    def _end(
        self,
        info: _Info,
        attributes: Mapping[str, Any],
        failure: str | None,
        description: str | None,
        *,
        cancelled: bool = False,
    ) -> None:
        opened = self._open.pop(id(info), None)
        if opened is None:
            return
        span = opened.span
        span.set_attributes(attributes)
        if cancelled:
            span.set_attribute("spindle.cancelled", True)
        if failure is not None:
            span.set_attribute("error.type", failure)
            span.set_status(StatusCode.ERROR, None if description is None else shown.cut(description, 1024))
        span.end()
        if opened.token is not None:
            contexts.detach(opened.token)


def _failed(failure: str | None) -> Attributes:
    return {} if failure is None else {"error.type": failure}
