"""Asking the model once: what a turn sends, and how often it sends it again when the stream breaks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import trio
from attrs import frozen

from spindle.actors.settings.catalogue import ModelInfo
from spindle.actors.settings.settings import ThreadSettings
from spindle.actors.tasks.faults import parts
from spindle.actors.tools.hooks.turn_hooks import TurnHooks
from spindle.actors.turn.calls import output_item, run_calls
from spindle.actors.turn.host import TurnHost
from spindle.actors.turn.toolbox import Toolbox
from spindle.rpc.model.interface import Completed, Created, Model, ModelError, ModelEvent, ModelRequest
from spindle.rpc.protocol.turns import ErrorNotification, TurnError
from spindle.storage.rollout import records

BACKOFF = 0.2
"""Seconds before the first repeat of a broken stream; doubled each time, at most `BACKOFF_LIMIT`."""
BACKOFF_LIMIT = 20.0


@frozen(kw_only=True)
class TurnPlan:
    """What a turn needs to know; nothing in it changes while it runs.

    patch_progress: patches are told of while the model writes them.
    compact_at: tokens of context from which on the history is compacted before the model is asked again; None for never.
    """

    thread_id: str
    turn_id: str
    settings: ThreadSettings
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
    session: str | None = None
    """What the provider knows the conversation by, if not by the thread's id."""
    subagent: str | None = None
    """What kind of sub-agent asks, if not the user's own agent."""
    parent_thread_id: str | None = None
    """The thread whose agent asks."""
    hooks: TurnHooks | None = None
    """None where there are none, and nothing is asked of them."""


class Listener(Protocol):
    """What takes in the events of one answer; `calls` are the tool calls that it asked for."""

    calls: list[dict[str, Any]]

    async def feed(self, event: ModelEvent) -> None:
        """Take in one event."""


L = TypeVar("L", bound=Listener)


async def sample(
    host: TurnHost, plan: TurnPlan, model: Model, ask: Callable[[], ModelRequest], listen: Callable[[], L]
) -> L:
    """One answer, repeating broken streams as often as the model's provider allows.

    What arrived whole stays, and what was called in it is carried out before the stream is repeated or the failure told:
    the model has called it, and will read what came of it. Raises ModelError.
    """
    attempt = 0
    while True:
        answer = listen()
        try:
            await _take_in(host, model, ask(), answer)
            return answer
        except ModelError as error:
            host.partial(None)
            await run_calls(answer.calls, plan.toolbox, host, plan.hooks)
            attempt += 1
            if not error.retryable or attempt > model.stream_max_retries:
                raise
            host.emit(
                ErrorNotification(
                    TurnError(
                        f"Reconnecting... {attempt}/{model.stream_max_retries}",
                        {"responseStreamDisconnected": {"httpStatusCode": None}},
                        error.details or error.message,
                    ),
                    True,
                    plan.thread_id,
                    plan.turn_id,
                )
            )
        await trio.sleep(min(BACKOFF_LIMIT, BACKOFF * 2 ** (attempt - 1)) * random.uniform(0.9, 1.1))


async def _take_in(host: TurnHost, model: Model, asked: ModelRequest, answer: Listener) -> None:
    """Feed `answer` with the stream. Interrupted, it leaves no call without an output."""
    try:
        async with model.stream(asked) as batches:
            async for batch in batches:
                for event in batch:
                    if isinstance(event, Completed):
                        host.spend(event.usage)
                    elif isinstance(event, Created):
                        host.begun()
                    else:
                        await answer.feed(event)
                await host.saved()
                await host.room()
    except BaseException as raised:
        cancelled, error = parts(raised)
        if cancelled is None and isinstance(error, ModelError):  # a model with a nursery raises it in a group
            raise error from None
        for call in answer.calls:
            host.record(records.response_item(output_item(call, "not carried out: the answer it came in broke off")))
        raise


def request(plan: TurnPlan, history: Sequence[bytes], tools: Sequence[object] = ()) -> ModelRequest:
    """The request for one answer. A model we know nothing of is sent only what every model accepts."""
    settings, info = plan.settings, plan.info
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
        prompt_cache_key=plan.session or plan.thread_id,
        client_metadata=plan.client_metadata,
        thread_id=plan.session or plan.thread_id,
        turn_id=plan.turn_id,
        originator=plan.originator,
        user_agent=plan.user_agent,
        subagent=plan.subagent,
        parent_thread_id=plan.parent_thread_id,
    )
