"""What can be told of an event from the beginning of its line, where its payload's members come in a known order.

Both Codex and Spindle write the members that say where an event belongs before the large ones. So the turns of a rollout
can be told apart without parsing outputs of megabytes.
"""

from __future__ import annotations

import re

import orjson

from spindle.rpc.protocol.values import DEPTH_OF_RECORDS, loads
from spindle.storage.rollout.items import SHOWN_AS
from spindle.storage.rollout.lines import salvage
from spindle.storage.rollout.scan import Found
from spindle.storage.rollout.shapes import Json, is_mapping
from spindle.storage.rollout.turns import SHOWN_EVENTS

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
# 0.169 puts where a turn comes from before its id
_TURN = re.compile(
    rb'(?:"turn_attribution":\{[^{}]{0,500}\},)?(?:"root_turn_id":(?:null|"[^"\\]{0,200}"),)?"turn_id":' + _STRING + rb"[,}]"
)
_MESSAGE = re.compile(rb'"message":"(?!")')
_TEXT = re.compile(rb'"text":"(?!")')
_COUNT = re.compile(rb'"info":(?:null|(\{"))')
_NAMES_TURN = b'"turn_id":'

LOOKED_AT = SHOWN_EVENTS | {
    b"token_count",
    b"thread_name_updated",
    b"thread_rolled_back",
    b"thread_settings_applied",
}
"""The events that mean something for turns; many do not: outputs as they came, commands that began."""
_SAID: Json = {"type": "user_message"}
_CALLS = frozenset(kind.encode() for kind in SHOWN_AS)


def light_event(found: Found) -> Json | None:
    """The payload of an event as far as `ShownTurns(light=True)` needs it; None if the line has to be parsed for that."""
    raw, kind, at = found.raw, found.subtype, found.head
    if kind is None or not at:
        return None
    match kind:
        case b"user_message":
            return _SAID
        case b"agent_message":
            if _MESSAGE.match(raw, at) and found.whole and raw.find(_NAMES_TURN, at) < 0:
                return {"type": "agent_message", "message": "…"}
        case b"agent_reasoning" | b"agent_reasoning_raw_content":
            if _TEXT.match(raw, at) and found.whole and raw.find(_NAMES_TURN, at) < 0:
                return {"type": kind.decode(), "text": "…"}
        case b"item_completed":
            if (item := _ITEM.match(raw, at)) is not None:
                named, of, id = (word.decode("utf-8", "replace") for word in item.groups())
                return {"type": "item_completed", "turn_id": named, "item": {"type": of, "id": id}}
        case b"task_started" | b"turn_started" | b"task_complete" | b"turn_complete" | b"turn_aborted":
            if (turn := _TURN.match(raw, at)) is not None:
                return {"type": kind.decode(), "turn_id": turn[1].decode("utf-8", "replace")}
        case _ if kind in _CALLS:
            if (call := _CALL.match(raw, at)) is not None:
                id, of = call[1].decode("utf-8", "replace"), call[2].decode("utf-8", "replace")
                return {"type": kind.decode(), "call_id": id, "turn_id": of}
        case _:
            pass
    return None


def counts_tokens(found: Found) -> bool | None:
    """Whether a `token_count` says how many; None if the line has to be parsed for that."""
    count = _COUNT.match(found.raw, found.head) if found.head else None
    return None if count is None else count[1] is not None


def read_event(found: Found) -> Json:
    """The whole payload of an event line (`found.raw` must be whole); of one that cannot be read, what is certain."""
    try:
        payload: object = loads(found.raw, DEPTH_OF_RECORDS)["payload"]
        if is_mapping(payload):
            return payload
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    line = salvage(found.raw)
    if line is not None:
        return line.payload
    return light_event(found) or {}
