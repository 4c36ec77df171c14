"""Prompts, answers and calls of tools as attributes, in the form of the semantic conventions for generative AI.

They are recorded only if the user wants it, and cut: a backend refuses spans that are too large. The JSON stays whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping, sequence

LIMIT: Final = 64 * 1024
"""The most characters of an attribute, about."""
TEXT: Final = 16 * 1024
"""The most characters of one text in it."""
_DECODED: Final = 256 * 1024
"""The most bytes of an item of the history that is looked into."""

_ROLES: Final[Mapping[str, str]] = {"developer": "system"}
_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})


@frozen(kw_only=True)
class Content:
    """What is recorded: what the model is told, what it answers, and what tools are given and give back."""

    prompts: bool = False
    responses: bool = False
    tools: bool = False

    def __bool__(self) -> bool:
        return self.prompts or self.responses or self.tools


def cut(text: str, limit: int = TEXT) -> str:
    """The text, or its beginning and how much is left out."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"


def instructions(text: str) -> str:
    """`gen_ai.system_instructions`."""
    return _json([_text(text)])


def said(role: str, texts: Iterable[str], **more: str) -> str:
    """`gen_ai.input.messages` or `gen_ai.output.messages` with one message."""
    return _json([{"role": role, "parts": [_text(text) for text in texts], **more}])


def input_messages(history: Sequence[bytes], wanted: Content) -> str:
    """`gen_ai.input.messages`: the latest items of the history, as many as there is room for."""
    messages: list[dict[str, Any]] = []
    size = 0
    for left, raw in zip(range(len(history), 0, -1), reversed(history), strict=True):
        if size > LIMIT:
            messages.append({"role": "system", "parts": [{"type": "omitted", "messages": left}]})
            break
        if len(raw) > _DECODED:
            message: dict[str, Any] | None = {"role": "user", "parts": [{"type": "omitted", "bytes": len(raw)}]}
        else:
            message = _message(orjson.loads(raw), wanted)
        if message is not None:
            messages.append(message)
            size += sum(_size(part) for part in message["parts"])
    return _json(messages[::-1])


def output_messages(items: Iterable[Mapping[str, Any]], wanted: Content, finish_reason: str) -> str:
    """`gen_ai.output.messages`: the answer, as one message."""
    parts: list[dict[str, Any]] = []
    size = 0
    for item in items:
        if size > LIMIT:
            parts.append({"type": "omitted"})
            break
        message = _message(item, wanted)
        for part in message["parts"] if message is not None else ():
            parts.append(part)
            size += _size(part)
    return _json([{"role": "assistant", "parts": parts, "finish_reason": finish_reason}])


def output_text(output: object) -> str:
    """`gen_ai.tool.call.result`."""
    if isinstance(output, str):
        return cut(output)
    return _json([_content(part) for part in sequence(output)])


def _message(item: Mapping[str, Any], wanted: Content) -> dict[str, Any] | None:
    """An item of the Responses API as a message; None if it is not wanted or has nothing to show."""
    kind = item.get("type")
    if kind == "message":
        role = str(item.get("role"))
        if not (wanted.responses if role == "assistant" else wanted.prompts):
            return None
        content: object = item.get("content")
        parts = [_text(content)] if isinstance(content, str) else [_content(part) for part in sequence(content)]
        return {"role": _ROLES.get(role, role), "parts": parts}
    if kind == "reasoning":
        texts = [str(mapping(part).get("text") or "") for part in sequence(item.get("summary"))]
        if not wanted.responses or not any(texts):
            return None
        return {"role": "assistant", "parts": [{"type": "reasoning", "content": cut(text)} for text in texts]}
    if not wanted.tools:
        return None
    if kind in _OUTPUTS:
        part = {"type": "tool_call_response", "id": item.get("call_id"), "response": output_text(item.get("output"))}
        return {"role": "tool", "parts": [part]}
    if isinstance(kind, str) and kind.endswith("_call"):
        given = item.get("arguments", item.get("input", item.get("action")))
        part = {
            "type": "tool_call",
            "id": item.get("call_id") or item.get("id"),
            "name": str(item.get("name") or kind),
            "arguments": cut(given if isinstance(given, str) else _json(given)),
        }
        return {"role": "assistant", "parts": [part]}
    return None


def _content(part: object) -> dict[str, Any]:
    fields = mapping(part)
    if isinstance(text := fields.get("text"), str):
        return _text(text)
    url = fields.get("image_url")
    if isinstance(url, str) and not url.startswith("data:"):
        return {"type": "uri", "modality": "image", "uri": cut(url)}
    return {"type": "omitted", "of": str(fields.get("type"))}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": cut(text)}


def _size(part: Mapping[str, Any]) -> int:
    return sum(len(value) for value in part.values() if isinstance(value, str))


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
