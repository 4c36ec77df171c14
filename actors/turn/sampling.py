"""One answer of the model: the request, and how often it is repeated when the stream breaks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import trio

from spindle.actors.services.instruments import Purpose
from spindle.actors.settings.catalogue import ModelInfo
from spindle.actors.settings.settings import Settings
from spindle.actors.tasks.faults import parts
from spindle.actors.turn.calls import output_item, run_calls
from spindle.actors.turn.host import TurnHost
from spindle.actors.turn.metadata import described
from spindle.actors.turn.toolbox import Toolbox
from spindle.actors.turn.work import Asking
from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.interface import (
    Completed,
    Created,
    Model,
    ModelError,
    ModelEvent,
    ModelRequest,
    ResponseMetadata,
    Retried,
    Stream,
)
from spindle.rpc.protocol.turns import ErrorNotification, TurnError
from spindle.storage.rollout import records

if TYPE_CHECKING:
    from spindle.actors.tools.hooks.turn_hooks import TurnHooks
    from spindle.actors.turn.watched import WatchedRequest

BACKOFF = 0.2
"""Seconds before the first repeat of a broken stream; doubled each time, at most `BACKOFF_LIMIT`."""
BACKOFF_LIMIT = 20.0
LONGEST = 300.0
"""Seconds. If the provider asks for a longer wait, the request fails at once."""


@frozen(kw_only=True)
class TurnPlan:
    """What does not change while a turn runs.

    patch_progress: notify clients of patches while the model writes them.
    compact_at: the history is compacted before the next request when it has this many tokens; None for never.
    """

    thread_id: str
    turn_id: str
    settings: Settings
    info: ModelInfo
    instructions: str
    originator: str
    user_agent: str
    toolbox: Toolbox
    compact_prompt: str | None = None
    compact_at: int | None = None
    output_schema: object | None = None
    patch_progress: bool = False
    client_metadata: Mapping[str, str] = {}
    """The entries of clients, as they are when a request is sent."""
    root_turn_id: str | None = None
    """The turn with which the chain of turns began that this one belongs to; None for its own."""
    parent_turn_id: str | None = None
    turn_trigger: str | None = None
    session: str | None = None
    """The provider's key for the conversation, if that is not the thread's id."""
    subagent: str | None = None
    """The kind of sub-agent that runs the turn; None for the user's own agent."""
    parent_thread_id: str | None = None
    """The thread that started the agent which runs the turn."""
    hooks: TurnHooks | None = None
    """None if no hooks are configured."""


class Listener(Protocol):
    """Takes the events of one answer. `calls` are the answer's tool calls."""

    calls: list[dict[str, Any]]

    async def feed(self, event: ModelEvent) -> None:
        """Process one event."""


L = TypeVar("L", bound=Listener)


async def sample(
    host: TurnHost,
    plan: TurnPlan,
    model: Model,
    ask: Callable[[Retried | None], ModelRequest],
    listen: Callable[[], L],
    purpose: Purpose = "answer",
) -> L:
    """Get one answer. A broken stream is repeated as often as the model's provider allows, and not before it asks for it.

    `ask` makes the request, with what is called when the model itself repeats it.

    Items that arrived whole stay, and their calls are run before the request is repeated or the error raised: the history has
    the calls, so the model must find their outputs. Raises ModelError.
    """
    with host.work.asking() as asking:
        return await _sample(host, plan, model, ask, listen, purpose, asking)


async def _sample(
    host: TurnHost,
    plan: TurnPlan,
    model: Model,
    ask: Callable[[Retried | None], ModelRequest],
    listen: Callable[[], L],
    purpose: Purpose,
    asking: Asking,
) -> L:
    attempt = 0
    while True:
        asking.attempt = attempt + 1
        answer = listen()
        watched = _watched(host, plan, model, ask, purpose, attempt + 1) if host.instruments else None
        try:
            await _take_in(host, watched or model.stream(ask(None)), answer)
            return answer
        except ModelError as error:
            host.partial(None)
            await run_calls(answer.calls, plan.toolbox, host, plan.hooks)
            attempt += 1
            wait = error.retry_after or 0.0
            if error.retryable and wait > LONGEST:
                raise _too_long(error, wait) from error
            if not error.retryable or attempt > model.stream_max_retries:
                raise
            delay = (wait or min(BACKOFF_LIMIT, BACKOFF * 2 ** min(attempt - 1, 10))) * random.uniform(1.0, 1.1)
            details = error.details or error.message
            host.emit(
                ErrorNotification(
                    TurnError(
                        f"Reconnecting... {attempt}/{model.stream_max_retries}",
                        error.retry_info,
                        f"{details} (the next attempt is in {delay:.1f} s, as the provider asks)" if wait else details,
                    ),
                    True,
                    plan.thread_id,
                    plan.turn_id,
                )
            )
            if watched is not None:
                watched.retried(error, delay)
        await trio.sleep(delay)


def _too_long(error: ModelError, wait: float) -> ModelError:
    """The error of a request that could only be repeated after `wait` seconds, which is too long."""
    from spindle.rpc.model.waits import until

    message = f"{error.message.rstrip('.')}. The provider takes no request before {until(wait)}"
    return ModelError(message, error.info, details=error.details, status=error.status, retry_after=wait)


def _watched(
    host: TurnHost,
    plan: TurnPlan,
    model: Model,
    ask: Callable[[Retried | None], ModelRequest],
    purpose: Purpose,
    attempt: int,
) -> WatchedRequest:
    from spindle.actors.turn.watched import WatchedRequest

    if plan.subagent == "review" and purpose == "answer":
        purpose = "review"
    return WatchedRequest(host, model, ask, plan.settings.model_provider, purpose, attempt)


async def _take_in(host: TurnHost, stream: Stream, answer: Listener) -> None:
    """Feed the stream to `answer`. If it is cancelled or fails otherwise, calls without an output get one."""
    try:
        async with stream as batches:
            async for batch in batches:
                for event in batch:
                    if isinstance(event, Completed):
                        host.answered(event)
                        host.spend(event.usage)
                    elif isinstance(event, Created):
                        host.begun()
                        if event.model is not None:
                            host.reported(ResponseMetadata(event.model))
                    elif isinstance(event, ResponseMetadata):
                        host.reported(event)
                    else:
                        await answer.feed(event)
                await host.saved()
                await host.room()
    except BaseException as raised:
        cancelled, error = parts(raised)
        if cancelled is None and isinstance(error, ModelError):  # a model with a nursery of its own raises it in a group
            raise error from None
        for call in answer.calls:
            host.record(records.response_item(output_item(call, "not run: the answer with this call broke off")))
        raise


def request(
    plan: TurnPlan, history: Sequence[bytes], tools: Sequence[object] = (), retried: Retried | None = None
) -> ModelRequest:
    """The request for one answer. An unknown model is sent only what every model accepts."""
    settings, info = plan.settings, plan.info
    thread = plan.session or plan.thread_id
    ids = {
        "session_id": thread,
        "thread_id": thread,
        "turn_id": plan.turn_id,
        "root_turn_id": plan.root_turn_id or plan.turn_id,
        "parent_turn_id": plan.parent_turn_id,
        "turn_trigger": plan.turn_trigger,
        "parent_thread_id": plan.parent_thread_id,
        "subagent_kind": plan.subagent,
        "model": settings.model,
    }
    reasoning: dict[str, Any] | None = None
    if info.reasoning:
        reasoning = {}
        if (effort := settings.effort or info.default_effort) is not None:
            reasoning["effort"] = effort
        if (summary := settings.summary or info.default_summary) != "none":
            reasoning["summary"] = summary
    text: dict[str, Any] = {"verbosity": info.verbosity} if info.verbosity else {}
    if plan.output_schema is not None:
        text["format"] = {
            "type": "json_schema",
            "strict": True,
            "schema": plan.output_schema,
            "name": "codex_output_schema",
        }
    return ModelRequest(
        model=settings.model,
        instructions=plan.instructions,
        input=history,
        tools=tools,
        parallel_tool_calls=info.parallel_tool_calls,
        reasoning=reasoning,
        include=("reasoning.encrypted_content",) if info.reasoning else (),
        service_tier="priority" if settings.service_tier == "fast" else settings.service_tier,
        text=text or None,
        prompt_cache_key=thread,
        client_metadata=described(ids, plan.client_metadata, f"{thread}:0"),
        thread_id=thread,
        turn_id=plan.turn_id,
        originator=plan.originator,
        user_agent=plan.user_agent,
        subagent=plan.subagent,
        parent_thread_id=plan.parent_thread_id,
        retried=retried,
    )
