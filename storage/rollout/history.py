"""What the model is sent next: the response items of a rollout, ready encoded.

Payloads of `response_item` lines are items of the Responses API as Codex 0.124 sends them. Codex 0.169 stores members
of its own beside them, which no provider knows; they are taken off.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from attrs import frozen

from spindle.rpc.lenient import Json, is_mapping, mapping, sequence, text, text_or_none
from spindle.rpc.protocol.values import packed
from spindle.storage.rollout.items import cut_middle

# what a call of each type is answered with
_OUTPUT_OF = {
    "function_call": "function_call_output",
    "local_shell_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
_OUTPUTS = frozenset(_OUTPUT_OF.values())
# snapshots of a working tree and items no version knows: kept in the file only
_NOT_SENT = frozenset({"ghost_snapshot", "other"})
_INTERNAL = ("metadata", "internal_chat_message_metadata_passthrough")
# user messages that were not the user's: context the server added, recognised by how they open
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


@frozen
class StoredItem:
    """One item of the model's input: its type, what identifies it, and its encoded JSON."""

    type: str
    call_id: str | None
    role: str | None
    json: bytes


OUTPUT_LIMIT = 40_000
"""Characters that are left of a long output, about 10,000 tokens. The file keeps all."""
OUTPUT_KEPT = 48_100
"""Characters of an output that is no long one: what a turn has cut for a model that takes 10,000 tokens, with a fifth more and
the mark of the cut, stays as the model has seen it."""
_CHARACTERS_OF_TOKEN = 4


def _cut(payload: Json) -> None:
    """Leave out the middle of an output that is longer than a model can use."""
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
    """A `response_item` payload as it is sent to the model; None for what is never sent. Takes over `payload`."""
    kind = payload.get("type")
    if not isinstance(kind, str) or kind in _NOT_SENT:
        return None
    if kind in _OUTPUTS:
        _cut(payload)
    for name in _INTERNAL:
        payload.pop(name, None)
    if kind != "image_generation_call":  # the one type whose id is part of what it says
        payload.pop("id", None)
    return StoredItem(
        kind, text_or_none(payload.get("call_id")), text_or_none(payload.get("role")), packed(orjson.dumps(payload))
    )


def said_by_user(words: str) -> StoredItem:
    """A user message of plain text."""
    content = [{"type": "input_text", "text": words}]
    item = {"type": "message", "role": "user", "content": content}
    return StoredItem("message", None, "user", packed(orjson.dumps(item)))


def with_aborted_outputs(items: Sequence[StoredItem]) -> list[StoredItem]:
    """The items with an output `aborted` after every call that has none, and without outputs that answer no call.

    A provider refuses a history with either, for good: this is what a process that died in a call leaves behind.
    """
    answered = {item.call_id for item in items if item.type in _OUTPUTS}
    asked = {item.call_id for item in items if item.type in _OUTPUT_OF}
    done: list[StoredItem] = []
    for item in items:
        if item.type in _OUTPUTS and item.call_id not in asked:
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
    """Whether a message is context that the server added, not something that was said."""
    if item.type != "message" or item.role == "assistant":
        return False
    return item.role != "user" or text_of(item).lstrip().startswith(_CONTEXT_OPENINGS)


def is_user_message(item: StoredItem) -> bool:
    """Whether an item is a message the user wrote."""
    return item.type == "message" and item.role == "user" and not is_context(item)
