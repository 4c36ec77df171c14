"""The turn itself: ask the model, take in its answer, run what it calls, and again while there is something to say."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from spindle.actors.thread.settings import ThreadSettings
from spindle.actors.turn.answer import Answer
from spindle.actors.turn.calls import output_item, run_calls
from spindle.actors.turn.catalogue import ModelInfo
from spindle.actors.turn.host import Said, TurnHost
from spindle.actors.turn.toolbox import Toolbox
from spindle.actors.turn.user_input import user_message_event
from spindle.rpc.model.interface import Completed, Created, Model, ModelError, ModelRequest
from spindle.rpc.protocol.items import UserMessageItem
from spindle.rpc.protocol.turns import ErrorNotification, ItemCompletedNotification, ItemStartedNotification, TurnError

BACKOFF = 0.2
"""Seconds before the first repeat of a broken stream; doubled each time, at most `BACKOFF_LIMIT`."""
BACKOFF_LIMIT = 20.0


def default_instructions() -> str:
    """Our own base instructions."""
    return Path(__file__).with_name("instructions.md").read_text(encoding="utf-8")


@frozen(kw_only=True)
class TurnPlan:
    """What a turn needs to know; nothing in it changes while it runs."""

    thread_id: str
    turn_id: str
    settings: ThreadSettings
    info: ModelInfo
    instructions: str
    originator: str
    user_agent: str
    toolbox: Toolbox
    output_schema: object | None = None
    client_metadata: Mapping[str, str] = {}


async def run_turn(host: TurnHost, plan: TurnPlan, model: Model, first: Sequence[Said]) -> str | None:
    """Run the turn to its end; returns the last message of the agent.

    Raises ModelError when the model fails for good and JournalError when the history cannot be saved; cancelling it
    interrupts the turn. Closing the turn's record is the caller's, in each of these cases.
    """
    last: str | None = None
    for said in first:
        say(host, plan, said)
    while True:
        answer = await _sample(host, plan, model)
        last = answer.text if answer.text is not None else last
        if answer.calls:
            await run_calls(answer.calls, plan.toolbox, host)
        steered = host.take_input()
        for said in steered:
            say(host, plan, said)
        if not answer.calls and not steered:
            return last


def say(host: TurnHost, plan: TurnPlan, said: Said) -> None:
    """Make user input part of the conversation."""
    item = UserMessageItem(id=str(uuid.uuid4()), content=said.content)
    now = time.time_ns() // 1_000_000
    host.emit(ItemStartedNotification(item, plan.thread_id, plan.turn_id, now))
    host.record(("response_item", said.item), ("event_msg", user_message_event(said.content)))
    host.emit(ItemCompletedNotification(item, plan.thread_id, plan.turn_id, now))
    if said.attached:
        host.record(*(("response_item", message) for message in said.attached))


async def _sample(host: TurnHost, plan: TurnPlan, model: Model) -> Answer:
    """One answer, repeating broken streams as often as the model's provider allows. What arrived whole stays."""
    attempt = 0
    while True:
        answer = Answer(host, plan.thread_id, plan.turn_id)
        try:
            async with model.stream(request(plan, host.history())) as batches:
                async for batch in batches:
                    for event in batch:
                        if isinstance(event, Completed):
                            host.spend(event.usage)
                        elif isinstance(event, Created):
                            host.begun()
                        else:
                            answer.feed(event)
                    await host.room()
            return answer
        except ModelError as error:
            host.partial(None)
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
            for call in answer.calls:
                host.record(("response_item", output_item(call, "not carried out: the answer it came in broke off")))
        await trio.sleep(min(BACKOFF_LIMIT, BACKOFF * 2 ** (attempt - 1)) * random.uniform(0.9, 1.1))


def request(plan: TurnPlan, history: Sequence[bytes]) -> ModelRequest:
    """The request for one answer. A model we know nothing of is sent only what every model accepts."""
    settings, info = plan.settings, plan.info
    reasoning: dict[str, Any] | None = None
    if info.reasoning:
        reasoning = {"effort": settings.effort or info.default_effort}
        if (summary := settings.summary or "auto") != "none":
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
        tools=plan.toolbox.offers,
        parallel_tool_calls=info.parallel_tool_calls,
        reasoning=reasoning,
        include=("reasoning.encrypted_content",) if info.reasoning else (),
        service_tier="priority" if settings.service_tier == "fast" else settings.service_tier,
        text=text or None,
        prompt_cache_key=plan.thread_id,
        client_metadata=plan.client_metadata,
        thread_id=plan.thread_id,
        turn_id=plan.turn_id,
        originator=plan.originator,
        user_agent=plan.user_agent,
    )
