"""Compaction: the model writes a summary of the conversation, and the summary replaces the history.

The texts of the user's latest messages are kept too, up to `KEPT_TOKENS`; tool calls, outputs and images are not. The rollout's
`compacted` line has all of it (`replacement_history`, format of Codex 0.124), so a resume does not read what is before that
line. Clients still see all turns.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from spindle.actors.turn.host import BYTES_PER_TOKEN, Compacted, ContextPlace, TurnHost
from spindle.actors.turn.sampling import TurnPlan, request, sample
from spindle.rpc.large import apart
from spindle.rpc.model.interface import ItemDone, Model, ModelError, ModelEvent, ModelRequest, Retried
from spindle.rpc.protocol.items import ContextCompactionItem
from spindle.rpc.protocol.turns import ItemCompletedNotification, ItemStartedNotification
from spindle.rpc.protocol.values import packed
from spindle.storage.rollout.history import (
    is_user_message,
    stored,
    text_of,
    user_text_item,
    with_aborted_outputs,
)

KEPT_TOKENS = 20_000
"""How much of the user's messages is kept unchanged."""

PROMPT = (
    "The conversation so far is about to be replaced by a summary that you write now. The model that goes on with it will have "
    "that summary and the user's own messages, nothing else. Say what was asked for and why, what has been done and found "
    "out, which decisions and constraints hold, which files, names and commands matter, and what remains to be done, most "
    "urgent first. Be complete about facts and brief about everything else. Answer with the summary alone."
)
SUMMARY_OPENING = (
    "The conversation before this point has been replaced by the following summary, written by the model that held it. Take "
    "the work up from here and do not repeat what is done already."
)
_NO_SUMMARY = "(The model gave no summary.)"
_CUT = "\n[The rest of this message was left out.]"


async def compact(host: TurnHost, plan: TurnPlan, model: Model, context: ContextPlace = "later") -> None:
    """Replace the history by a summary. `context` says where the turn's next request finds its surroundings in it.

    Raises ModelError and JournalError. After an error or a cancellation the history is as it was.
    """
    item = ContextCompactionItem(str(uuid.uuid4()))
    host.emit(ItemStartedNotification(item, plan.thread_id, plan.turn_id, time.time_ns() // 1_000_000))
    words = (await _summarize(host, plan, model)).strip()
    summary = f"{SUMMARY_OPENING}\n{words or _NO_SUMMARY}"
    kept = await _user_messages(host)
    context_items = [packed(orjson.dumps(message)) for message in host.context()] if context != "later" else []
    if context == "within":
        kept[-1:-1] = context_items
    items = [*kept, user_text_item(summary).json, *(context_items if context == "behind" else ())]
    await host.replace_history(Compacted(items, summary, plan.instructions, context))
    host.emit(ItemCompletedNotification(item, plan.thread_id, plan.turn_id, time.time_ns() // 1_000_000))


async def _user_messages(host: TurnHost) -> list[bytes]:
    while True:
        history = list(host.history())
        size = sum(map(len, history))
        kept = await apart(size, None, user_messages, history, host.last_summary())
        if len(host.history()) == len(history):  # nothing was added meanwhile
            return kept


def user_messages(history: Sequence[bytes], last_summary: str | None) -> list[bytes]:
    """The user's latest messages as text, oldest first. The oldest one is cut if there is too much.

    The summary of an earlier compaction looks like a user message and is left out.
    """
    room = KEPT_TOKENS * BYTES_PER_TOKEN
    kept: list[bytes] = []
    for raw in reversed(history):
        if room <= 0:
            break
        # the role is near the beginning or the end; what is between may be long
        if b'"user"' not in raw[:256] and b'"user"' not in raw[-64:]:
            continue
        item = stored(orjson.loads(raw))
        if item is None or not is_user_message(item) or not (words := text_of(item)) or words == last_summary:
            continue
        size = len(words.encode())
        if size > room:
            words = words.encode()[:room].decode("utf-8", "ignore") + _CUT
        room -= size
        kept.append(user_text_item(words).json)
    return kept[::-1]


class _Summary:
    """A listener that keeps the answer and shows nothing."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.text = ""

    async def feed(self, event: ModelEvent) -> None:
        """Keep the text of the last message."""
        if isinstance(event, ItemDone) and event.item["type"] == "message":
            item = stored(dict(event.item))
            self.text = (text_of(item) if item is not None else "") or self.text


async def _summarize(host: TurnHost, plan: TurnPlan, model: Model) -> str:
    prompt = user_text_item(plan.compact_prompt or PROMPT).json
    history = list(host.history())

    def ask(retried: Retried | None) -> ModelRequest:
        return request(plan, [*history, prompt], retried=retried)

    while True:
        try:
            return (await sample(host, plan, model, ask, _Summary, "compaction")).text
        except ModelError as error:
            if error.info != "contextWindowExceeded" or len(history) < 2:
                raise
            history = await apart(sum(map(len, history)), None, _shortened, history)


def _shortened(history: list[bytes]) -> list[bytes]:
    """The history without its oldest tenth, and without outputs whose calls were in that."""
    rest = history[max(1, len(history) // 10) :]
    items = [item for raw in rest if (item := stored(orjson.loads(raw))) is not None]
    return [item.json for item in with_aborted_outputs(items)]
