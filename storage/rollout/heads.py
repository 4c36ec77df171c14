"""What can be told of an event from the beginning of its line, where its payload's members come in a known order.

Both Codex and Spindle write the members that say where an event belongs before the large ones. So the turns of a rollout
can be told apart without parsing outputs of megabytes.
"""

from __future__ import annotations

import re

from spindle.storage.rollout.items import SHOWN_AS
from spindle.storage.rollout.lines import salvage
from spindle.storage.rollout.scan import HEAD, Found
from spindle.storage.rollout.shapes import Json

_STRING = rb'"([^"\\]{0,200})"'
_CALL = re.compile(
    rb'"call_id":' + _STRING + rb'(?:,"process_id":(?:null|"[^"\\]{0,64}"))?(?:,"turn_id":' + _STRING + rb")(,|\})"
)
_ITEM = re.compile(
    rb'"thread_id":"[^"\\]{0,64}","turn_id":'
    + _STRING
    + rb',"item":\{"type":'
    + _STRING
    + rb',"id":'
    + _STRING
    + rb"[,}]"
)
_MESSAGE = re.compile(rb'"message":"(?!")')
_TEXT = re.compile(rb'"text":"(?!")')
_COUNT = re.compile(rb'"info":(?:null|(\{"))')
_NAMES_TURN = b'"turn_id":'

# events that say nothing of turns: those that no handler takes are many (outputs as they came, commands that began)
LOOKED_AT = frozenset(
    kind.encode()
    for kind in (
        *SHOWN_AS,
        "task_started",
        "turn_started",
        "task_complete",
        "turn_complete",
        "turn_aborted",
        "error",
        "user_message",
        "agent_message",
        "agent_reasoning",
        "agent_reasoning_raw_content",
        "item_completed",
        "token_count",
        "thread_name_updated",
        "thread_rolled_back",
    )
)


def light_event(found: Found) -> Json | None:
    """The payload of an event as far as `ShownTurns(light=True)` needs it; None if the line has to be parsed for that.

    `{}` stands for an event without a meaning for turns.
    """
    raw = found.raw
    head = HEAD.match(raw)
    kind = None if head is None else head[2]
    if head is None or kind is None:
        return None
    if kind not in LOOKED_AT:
        return {}
    at = head.end()
    match kind:
        case b"user_message":
            return {"type": "user_message"}
        case b"agent_message":
            if _MESSAGE.match(raw, at) and found.whole and raw.find(_NAMES_TURN, at) < 0:
                return {"type": "agent_message", "message": "…"}
        case b"agent_reasoning" | b"agent_reasoning_raw_content":
            if _TEXT.match(raw, at) and found.whole and raw.find(_NAMES_TURN, at) < 0:
                return {"type": kind.decode(), "text": "…"}
        case b"token_count":
            if (count := _COUNT.match(raw, at)) is not None:
                return {"type": "token_count", "info": count[1] is not None}
        case b"item_completed":
            if (item := _ITEM.match(raw, at)) is not None:
                turn, of, id = (word.decode("utf-8", "replace") for word in item.groups())
                return {"type": "item_completed", "turn_id": turn, "item": {"type": of, "id": id}}
        case _ if not found.whole and kind.decode() in SHOWN_AS:
            if (call := _CALL.match(raw, at)) is not None:
                id, turn = call[1].decode("utf-8", "replace"), call[2].decode("utf-8", "replace")
                return {"type": kind.decode(), "call_id": id, "turn_id": turn}
        case _:
            pass
    return None


def read_event(found: Found) -> Json:
    """The whole payload of an event line (`found.raw` must be whole); of one that cannot be read, what is certain."""
    line = salvage(found.raw)
    if line is not None:
        return line.payload
    return light_event(found) or {}
