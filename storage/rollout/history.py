"""The model's history: the encoded response items of a rollout.

Payloads of `response_item` lines are items of the Responses API as Codex 0.124 sends them. Codex 0.169 adds members of
its own, which providers do not know; they are removed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import orjson

from spindle.rpc.lenient import Json, is_mapping, mapping, sequence, text, text_or_none
from spindle.rpc.protocol.values import packed
from spindle.storage.rollout.items import cut_middle

# the type of output for each type of call
_OUTPUT_OF = {
    "function_call": "function_call_output",
    "local_shell_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
_OUTPUTS = frozenset(_OUTPUT_OF.values())
# snapshots of a working tree, and unknown items: only in the file
_NOT_SENT = frozenset({"ghost_snapshot", "other"})
_INTERNAL = ("metadata", "internal_chat_message_metadata_passthrough")
# user messages that the server added as context, recognised by their start
_CONTEXT_OPENINGS = (
    "<environment_context>",
    "# AGENTS.md instructions",
    "<user_instructions>",
    "<turn_aborted>",
    "<user_shell_command>",
    "<skill>",
    "<subagent_notification>",
    "<hook_prompt ",
)


class StoredItem(NamedTuple):
    """One item of the model's input: its type, its identity, and its encoded JSON."""

    type: str
    call_id: str | None
    role: str | None
    json: bytes


OUTPUT_LIMIT = 40_000
"""The characters that remain of a long output, about 10,000 tokens. The file keeps all."""
OUTPUT_KEPT = 48_100
"""The most characters of an output that is not cut. An output that its turn cut to 10,000 tokens, plus the note of the
cut, fits with a fifth to spare: it stays as the model has seen it.
"""
_CHARACTERS_OF_TOKEN = 4


def _cut(payload: Json) -> None:
    """Remove the middle of an output that is too long."""
    output = payload.get("output")
    if isinstance(output, str):
        if len(output) > OUTPUT_KEPT:
            payload["output"] = cut_middle(output, OUTPUT_LIMIT, "tokens", _CHARACTERS_OF_TOKEN)
        return
    texts = [part for part in sequence(output) if is_mapping(part) and isinstance(part.get("text"), str)]
    if sum(len(part["text"]) for part in texts) <= OUTPUT_KEPT:
        return
    room = OUTPUT_LIMIT
    for part in texts:
        part["text"] = cut_middle(part["text"], room, "tokens", _CHARACTERS_OF_TOKEN)
        room = max(0, room - len(part["text"]))


def stored(payload: Json) -> StoredItem | None:
    """The item for the model from a `response_item` payload; None for payloads that are never sent. Modifies `payload`."""
    kind = payload.get("type")
    if not isinstance(kind, str) or kind in _NOT_SENT:
        return None
    if kind in _OUTPUTS:
        if not payload.get("call_id") and not payload.get("name"):
            return None
        _cut(payload)
    for name in _INTERNAL:
        payload.pop(name, None)
    if kind != "image_generation_call":  # the only type that needs its id
        payload.pop("id", None)
    return StoredItem(
        kind, text_or_none(payload.get("call_id")), text_or_none(payload.get("role")), packed(orjson.dumps(payload))
    )


def user_text_item(words: str) -> StoredItem:
    """A user message with one text."""
    content = [{"type": "input_text", "text": words}]
    item = {"type": "message", "role": "user", "content": content}
    return StoredItem("message", None, "user", packed(orjson.dumps(item)))


def with_aborted_outputs(items: Sequence[StoredItem], pending: Collection[str] = ()) -> list[StoredItem]:
    """The items, with an output `aborted` after each call without output, and without outputs that have no call.

    Calls that are `pending` get their outputs later. An output without a call id is what a client has sent.

    A provider would always refuse a history with either; a process that died during a call leaves such a history.
    """
    answered = {item.call_id for item in items if item.type in _OUTPUTS} | set(pending)
    asked = {item.call_id for item in items if item.type in _OUTPUT_OF}
    if answered == asked:
        return list(items)
    done: list[StoredItem] = []
    for item in items:
        if item.type in _OUTPUTS and item.call_id is not None and item.call_id not in asked:
            continue
        done.append(item)
        output = _OUTPUT_OF.get(item.type)
        if output is not None and item.call_id is not None and item.call_id not in answered:
            body = {"type": output, "call_id": item.call_id, "output": "aborted"}
            done.append(StoredItem(output, item.call_id, None, packed(orjson.dumps(body))))
    return done


def text_of(item: StoredItem) -> str:
    """The text of a message, its parts joined; "" for other items."""
    if item.type != "message":
        return ""
    return "".join(text(mapping(part).get("text")) for part in sequence(orjson.loads(item.json).get("content")))


def is_context(item: StoredItem) -> bool:
    """Whether a message is context that the server added."""
    if item.type != "message" or item.role == "assistant":
        return False
    return item.role != "user" or text_of(item).lstrip().startswith(_CONTEXT_OPENINGS)


def is_user_message(item: StoredItem) -> bool:
    """Whether an item is a message of the user."""
    return item.type == "message" and item.role == "user" and not is_context(item)
