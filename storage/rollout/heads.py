"""Read an event from the start of its line, if its payload's members have a known order.

Codex and Spindle write the members that identify an event before the large ones. So turns can be found without parsing
megabytes of output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from spindle.rpc.lenient import Json, is_mapping
from spindle.rpc.protocol.values import DEPTH_OF_RECORDS, loads
from spindle.storage.rollout import records
from spindle.storage.rollout.items import SHOWN_AS
from spindle.storage.rollout.lines import salvage
from spindle.storage.rollout.scan import Found
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
# 0.169 writes the turn's origin before its id
_TURN = re.compile(
    rb'(?:"turn_attribution":\{[^{}]{0,500}\},)?(?:"root_turn_id":(?:null|"[^"\\]{0,200}"),)?"turn_id":' + _STRING + rb"[,}]"
)
_CLIENT_ID = re.compile(
    rb'(?:"thread_id":"[^"\\]{0,64}","turn_id":"[^"\\]{0,200}","item":\{"type":"UserMessage","id":"[^"\\]{0,200}",)?'
    rb'"client_id":("(?:[^"\\]|\\.){0,2000}")'
)
_MESSAGE = re.compile(rb'"message":"(?!")')
_TEXT = re.compile(rb'"text":"(?!")')
_COUNT = re.compile(rb'"info":(?:null|(\{"))')
_NAMES_TURN = b'"turn_id":'

LOOKED_AT = SHOWN_EVENTS | records.encoded(records.BESIDE_TURNS)
"""The events that matter for turns. Others do not, such as output deltas and starts of commands."""
_USER_MESSAGE = records.USER_MESSAGE.encode()
_USER_EVENT: Json = {"type": records.USER_MESSAGE}
_TEXT_MEMBERS: Mapping[bytes, tuple[re.Pattern[bytes], str]] = {
    records.AGENT_MESSAGE.encode(): (_MESSAGE, "message"),
    records.AGENT_REASONING.encode(): (_TEXT, "text"),
    records.AGENT_REASONING_RAW_CONTENT.encode(): (_TEXT, "text"),
}
_ITEM_COMPLETED = records.ITEM_COMPLETED.encode()
_MARKS = records.encoded(records.TURN_STARTS | records.TURN_ENDS)
_CALLS = records.encoded(SHOWN_AS)


def light_event(found: Found) -> Json | None:
    """The part of an event's payload that `ShownTurns(light=True)` needs; None if the line must be parsed."""
    raw, kind, at = found.raw, found.subtype, found.head
    if kind is None or not at:
        return None
    if kind == _USER_MESSAGE:
        return _USER_EVENT
    if (text_member := _TEXT_MEMBERS.get(kind)) is not None:
        opening, member = text_member
        if opening.match(raw, at) and found.whole and raw.find(_NAMES_TURN, at) < 0:
            return {"type": kind.decode(), member: "…"}
    elif kind == _ITEM_COMPLETED:
        if (item := _ITEM.match(raw, at)) is not None:
            named, of, id = (word.decode("utf-8", "replace") for word in item.groups())
            return {"type": records.ITEM_COMPLETED, "turn_id": named, "item": {"type": of, "id": id}}
    elif kind in _MARKS:
        if (turn := _TURN.match(raw, at)) is not None:
            return {"type": kind.decode(), "turn_id": turn[1].decode("utf-8", "replace")}
    elif kind in _CALLS and (call := _CALL.match(raw, at)) is not None:
        id, of = call[1].decode("utf-8", "replace"), call[2].decode("utf-8", "replace")
        return {"type": kind.decode(), "call_id": id, "turn_id": of}
    return None


def client_id_of(found: Found) -> str | None:
    """The client's own id of the message in the line of a user message; None if it has none."""
    match = _CLIENT_ID.match(found.raw, found.head) if found.head else None
    try:
        return None if match is None else str(orjson.loads(match[1]))
    except orjson.JSONDecodeError:
        return None


def counts_tokens(found: Found) -> bool | None:
    """Whether a `token_count` has values; None if the line must be parsed."""
    count = _COUNT.match(found.raw, found.head) if found.head else None
    return None if count is None else count[1] is not None


def read_event(found: Found) -> Json:
    """The payload of an event line (`found.raw` must be whole); for a damaged line, the members that are certain."""
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
