"""The turn itself: ask the model, take in its answer, run what it calls, and again while there is something to say."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from spindle.actors.tools.patch.progress import PatchProgress
from spindle.actors.turn.answer import Answer
from spindle.actors.turn.calls import run_calls
from spindle.actors.turn.compaction import compact
from spindle.actors.turn.host import Said, TurnHost
from spindle.actors.turn.sampling import TurnPlan, request, sample
from spindle.actors.turn.user_input import user_message_event
from spindle.rpc.model.interface import Model
from spindle.rpc.protocol.items import UserMessageItem
from spindle.rpc.protocol.turns import ItemCompletedNotification, ItemStartedNotification


def default_instructions() -> str:
    """Our own base instructions."""
    return Path(__file__).with_name("instructions.md").read_text(encoding="utf-8")


async def run_turn(host: TurnHost, plan: TurnPlan, model: Model) -> str | None:
    """Say the input that waits and run the turn to its end; returns the last message of the agent.

    Raises ModelError when the model fails for good and JournalError when the history cannot be saved; cancelling it
    interrupts the turn. Closing the turn's record is the caller's, in each of these cases, and so is the input that was
    not said by then.
    """
    last: str | None = None
    if _is_full(host, plan):
        await compact(host, plan, model, in_turn=True)
    say_input(host)
    while True:
        answer = await sample(
            host,
            plan,
            model,
            lambda: request(plan, host.history(), plan.toolbox.offers),
            lambda: Answer(
                host, plan.thread_id, plan.turn_id, PatchProgress(host) if plan.patch_progress else None
            ),
        )
        last = answer.text if answer.text is not None else last
        if answer.calls:
            await run_calls(answer.calls, plan.toolbox, host)
        if not say_input(host) and not answer.calls:
            return last
        if _is_full(host, plan):
            await compact(host, plan, model, in_turn=True)


def _is_full(host: TurnHost, plan: TurnPlan) -> bool:
    return plan.compact_at is not None and host.context_tokens() >= plan.compact_at


def say_input(host: TurnHost) -> bool:
    """Make the input that waits part of the conversation; whether there was any."""
    waiting = host.take_input()
    for said in waiting:
        _say(host, said)
    return bool(waiting)


def _say(host: TurnHost, said: Said) -> None:
    """What has no content is for the model only."""
    if not said.content:
        host.record(("response_item", said.item))
        return
    item = UserMessageItem(id=str(uuid.uuid4()), content=said.content)
    now = time.time_ns() // 1_000_000
    host.emit(ItemStartedNotification(item, host.thread_id, host.turn_id, now))
    host.record(("response_item", said.item), ("event_msg", user_message_event(said.content)))
    host.emit(ItemCompletedNotification(item, host.thread_id, host.turn_id, now))
    if said.attached:
        host.record(*(("response_item", message) for message in said.attached))
