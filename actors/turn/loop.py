"""The loop of a turn: send a request, take the answer, run its calls; again while there are outputs or input to send."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.actors.turn.answer import Answer
from spindle.actors.turn.calls import run_calls
from spindle.actors.turn.compaction import compact
from spindle.actors.turn.context import message
from spindle.actors.turn.host import TurnHost, TurnInput
from spindle.actors.turn.sampling import TurnPlan, request, sample
from spindle.actors.turn.user_input import preview_of, user_message_event
from spindle.rpc.model.interface import Model
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.items import (
    FunctionCallOutputItem,
    HookPromptFragment,
    HookPromptItem,
    ThreadItem,
    UserMessageItem,
)
from spindle.rpc.protocol.turns import ItemCompletedNotification, ItemStartedNotification
from spindle.storage.rollout import records
from spindle.storage.rollout.journal import JournalError

if TYPE_CHECKING:
    from spindle.actors.tools.hooks.turn_hooks import Prompted, TurnHooks
    from spindle.actors.tools.patch.progress import PatchProgress

log = logging.getLogger("spindle")


def default_instructions() -> str:
    """Our own base instructions."""
    return Path(__file__).with_name("instructions.md").read_text(encoding="utf-8")


async def run_turn(
    host: TurnHost, plan: TurnPlan, model: Model, calls: Sequence[dict[str, Any]] | None = None
) -> str | None:
    """Send the waiting input and run the turn to its end. Returns the agent's last message; None if it had none.

    With `calls` the turn goes on where it was suspended: they are run first, and their outputs and the input are sent.

    Raises ModelError when the model's last retry fails, and JournalError when the history cannot be saved. Cancelling it
    interrupts the turn. In each case the caller closes the turn's record, and records the input that was not sent.
    """
    last: str | None = None
    resumed = calls is not None
    if not resumed:
        if _is_full(host, plan):
            await compact(host, plan, model, "behind")  # the turn's first input comes after it
        if not await _begin(host, plan):
            host.end()
            return None
    continued = False
    while True:
        if calls is None:
            answer = await sample(
                host,
                plan,
                model,
                lambda retried: request(plan, host.history(), plan.toolbox.offers, retried),
                lambda: Answer(host, plan.thread_id, plan.turn_id, _progress(host, plan)),
            )
            last = answer.text if answer.text is not None else last
            calls = answer.calls
        if calls:
            await run_calls(calls, plan.toolbox, host, plan.hooks)
        more = await take_input(host, plan.hooks)
        if not calls and not more and not resumed:
            fragments = () if plan.hooks is None else await plan.hooks.stopping(last, again=continued)
            if not fragments:
                return last
            continued = True
            _continue_with(host, fragments)
        calls, resumed = None, False
        if _is_full(host, plan):
            await compact(host, plan, model, "within")


def _is_full(host: TurnHost, plan: TurnPlan) -> bool:
    return plan.compact_at is not None and host.context_tokens() >= plan.compact_at


def _progress(host: TurnHost, plan: TurnPlan) -> PatchProgress | None:
    if not plan.patch_progress:
        return None
    from spindle.actors.tools.patch.progress import PatchProgress

    return PatchProgress(host)


async def _begin(host: TurnHost, plan: TurnPlan) -> bool:
    """Take the first input. Returns whether hooks let the turn go on."""
    hooks = plan.hooks
    how = None if hooks is None else host.first_turn()
    if hooks is not None and how is not None:
        verdict = await hooks.thread_begins(how)
        _record_contexts(host, verdict)
        if verdict.refused:
            while (waiting := host.next_input()) is not None:
                host.input_done()
                if not waiting.content:
                    await _record_input(host, waiting)
            return False
    return await take_input(host, hooks)


async def take_input(host: TurnHost, hooks: TurnHooks | None) -> bool:
    """Make the waiting input part of the conversation, unless hooks refuse it. Returns whether any of it was.

    If it is cancelled while a hook runs, the rest stays waiting.
    """
    any_taken = False
    while (waiting := host.next_input()) is not None:
        verdict = await hooks.prompted(preview_of(waiting.content)) if hooks is not None and waiting.content else None
        host.input_done()
        if verdict is None or not verdict.refused:
            await _record_input(host, waiting)
            any_taken = True
        if verdict is not None:
            _record_contexts(host, verdict)
    return any_taken


async def record_rest(host: TurnHost, hooks: TurnHooks | None) -> None:
    """The turn ends: record the waiting input, so that it is not lost; but not input that hooks must see first."""
    seen_first = hooks is not None and hooks.any_for("userPromptSubmit")
    while (waiting := host.next_input()) is not None:
        host.input_done()
        if not waiting.content or not seen_first:
            try:
                await _record_input(host, waiting)
            except JournalError:
                raise
            except Exception:  # the turn's end must be recorded all the same
                log.exception("input of thread %s cannot be recorded", host.thread_id)


def _record_contexts(host: TurnHost, verdict: Prompted) -> None:
    if verdict.contexts:
        host.record(*(records.response_item(message("developer", context)) for context in verdict.contexts))


def _continue_with(host: TurnHost, fragments: Sequence[HookPromptFragment]) -> None:
    """Record the hooks' reasons to go on as input, which the agent gets next."""
    from spindle.actors.tools.hooks.turn_hooks import prompt_text

    item = HookPromptItem(str(uuid.uuid4()), fragments)
    now = time.time_ns() // 1_000_000
    kept = {"type": "HookPrompt", "id": item.id, "fragments": unstructure(fragments)}
    host.emit(ItemStartedNotification(item, host.thread_id, host.turn_id, now))
    host.record(
        records.response_item(message("user", *map(prompt_text, fragments))),
        records.item_completed(host.thread_id, host.turn_id, kept, now),
    )
    host.emit(ItemCompletedNotification(item, host.thread_id, host.turn_id, now))


async def _record_input(host: TurnHost, waiting: TurnInput) -> None:
    """Make input part of the conversation. Input without content or output is for the model only."""
    if not waiting.content and waiting.output is None:
        await host.keep(records.response_item(waiting.item))
        return
    if news := host.news(waiting.context):
        host.record(*map(records.response_item, news))
    now = time.time_ns() // 1_000_000
    if waiting.output is not None:
        item: ThreadItem = waiting.output
        kept = records.item_completed(host.thread_id, host.turn_id, _stored_output(waiting.output), now)
    else:
        item = UserMessageItem(id=str(uuid.uuid4()), client_id=waiting.client_id, content=waiting.content)
        kept = user_message_event(waiting.content, waiting.client_id)
    host.emit(ItemStartedNotification(item, host.thread_id, host.turn_id, now))
    await host.keep(records.response_item(waiting.item), kept)
    host.emit(ItemCompletedNotification(item, host.thread_id, host.turn_id, now))
    if waiting.attached:
        host.record(*map(records.response_item, waiting.attached))


def _stored_output(item: FunctionCallOutputItem) -> dict[str, Any]:
    stored: dict[str, Any] = unstructure(item)
    return stored | {"type": "FunctionCallOutput"}
