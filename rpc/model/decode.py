"""The events of the Responses API as model events.

Format: the streaming reference of OpenAI's Responses API. Unknown or invalid events are skipped, so that a provider may
send events that are newer than this code.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

import orjson

from spindle.rpc.model.interface import (
    Completed,
    Created,
    InputDelta,
    ItemAdded,
    ItemDone,
    ModelEvent,
    ReasoningDelta,
    ResponseMetadata,
    SummaryDelta,
    SummaryPartAdded,
    TextDelta,
    Usage,
)
from spindle.rpc.model.model_errors import ModelError, disconnected, failed, incomplete
from spindle.rpc.protocol.values import VALUES, count, crowded, too_deep

_Fields: TypeAlias = Mapping[str, type | tuple[type, ...]]

# The members an output item needs; without them the conversation could not continue.
_ITEMS: Mapping[str, _Fields] = {
    "message": {"role": str, "content": list},
    "reasoning": {"summary": list},
    "local_shell_call": {"status": str, "action": dict},
    "function_call": {"name": str, "arguments": str, "call_id": str},
    "tool_search_call": {"execution": str},
    "function_call_output": {"call_id": str, "output": (str, list)},
    "custom_tool_call": {"call_id": str, "name": str, "input": str},
    "custom_tool_call_output": {"call_id": str, "output": (str, list)},
    "tool_search_output": {"status": str, "execution": str, "tools": list},
    "web_search_call": {},
    "image_generation_call": {"id": str, "status": str, "result": str},
    "compaction": {"encrypted_content": str},
}


def decode(payloads: Iterable[bytes], events: list[ModelEvent]) -> ModelError | None:
    """Decode `payloads` and append their events; returns the failure that the provider reported, if any.

    Events after `Completed` or a failure are ignored.
    """
    for payload in payloads:
        if len(payload) > VALUES and crowded(payload):
            return ModelError(f"the model's provider sent an event of more than {VALUES} objects, arrays and texts")
        try:
            data = orjson.loads(payload)
        except orjson.JSONDecodeError:
            continue
        if type(data) is not dict:
            continue
        fields = cast(dict[str, Any], data)
        kind = fields.get("type")
        if kind == "response.output_text.delta":  # the most frequent type, so it is tested first
            delta = fields.get("delta")
            if type(delta) is str:
                item_id = fields.get("item_id")
                events.append(TextDelta(delta, item_id if type(item_id) is str else None))
            continue
        reader = _READERS.get(kind) if type(kind) is str else None
        if reader is None or too_deep(fields, payload):
            continue
        event = reader(fields)
        if isinstance(event, ModelError):
            return event
        if event is not None:
            events.append(event)
            if type(event) is Completed:
                return None
    return None


def _created(data: dict[str, Any]) -> ModelEvent | None:
    response = data.get("response")
    if not isinstance(response, dict):
        return None
    fields = cast(dict[str, Any], response)
    response_id = fields.get("id")
    return Created(response_id if isinstance(response_id, str) else None, _model_header(fields))


def _metadata(data: dict[str, Any]) -> ModelEvent | None:
    given = data.get("metadata")
    fields = cast(dict[str, Any], given) if isinstance(given, dict) else {}
    recommended = fields.get("openai_verification_recommendation")
    words = cast(list[object], recommended) if isinstance(recommended, list) else []
    verifications = [word for word in words if isinstance(word, str)]
    said = ResponseMetadata(_model_header(data), verifications, fields.get("openai_chatgpt_moderation_metadata"))
    return None if said == ResponseMetadata(None, [], None) else said


def _model_header(fields: dict[str, Any]) -> str | None:
    """The model that answers, of the headers in an event; the names of headers are compared without case."""
    headers = fields.get("headers")
    if not isinstance(headers, dict):
        return None
    named = (value for name, value in cast(dict[str, Any], headers).items() if name.lower() == "openai-model")
    return next((value for value in named if isinstance(value, str) and value), None)


def _item_added(data: dict[str, Any]) -> ModelEvent | None:
    item = data.get("item")
    return ItemAdded(cast(dict[str, Any], item)) if _usable(item) else None


def _item_done(data: dict[str, Any]) -> ModelEvent | None:
    item = data.get("item")
    return ItemDone(cast(dict[str, Any], item)) if _usable(item) else None


def _usable(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    fields = cast(dict[str, Any], item)
    kind = fields.get("type")
    required = _ITEMS.get(kind) if isinstance(kind, str) else None
    if required is None:
        return False
    return all(isinstance(fields.get(name), types) for name, types in required.items())


def _summary_part_added(data: dict[str, Any]) -> ModelEvent | None:
    index = count(data.get("summary_index"))
    return None if index is None else SummaryPartAdded(index)


def _summary_delta(data: dict[str, Any]) -> ModelEvent | None:
    delta, index = data.get("delta"), count(data.get("summary_index"))
    return SummaryDelta(delta, index) if type(delta) is str and index is not None else None


def _reasoning_delta(data: dict[str, Any]) -> ModelEvent | None:
    delta, index = data.get("delta"), count(data.get("content_index"))
    return ReasoningDelta(delta, index) if type(delta) is str and index is not None else None


def _input_delta(data: dict[str, Any]) -> ModelEvent | None:
    delta, item_id = data.get("delta"), data.get("item_id")
    return InputDelta(delta, item_id if type(item_id) is str else None) if type(delta) is str else None


def _completed(data: dict[str, Any]) -> ModelEvent | ModelError | None:
    response = data.get("response")
    if not isinstance(response, dict):
        return None
    fields = cast(dict[str, Any], response)
    response_id = fields.get("id")
    if not isinstance(response_id, str):
        return disconnected("failed to parse ResponseCompleted: missing field `id`")
    usage, model = fields.get("usage"), fields.get("model")
    model = model if isinstance(model, str) else None
    if usage is None:
        return Completed(response_id, None, model)
    counts = cast(dict[str, Any], usage) if isinstance(usage, dict) else {}
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        if count(counts.get(name)) is None:
            return disconnected(f"failed to parse ResponseCompleted: missing field `{name}`")
    return Completed(
        response_id,
        Usage(
            input_tokens=count(counts["input_tokens"]) or 0,
            cached_input_tokens=_detail(counts, "input_tokens_details", "cached_tokens"),
            output_tokens=count(counts["output_tokens"]) or 0,
            reasoning_output_tokens=_detail(counts, "output_tokens_details", "reasoning_tokens"),
            total_tokens=count(counts["total_tokens"]) or 0,
        ),
        model,
    )


def _detail(counts: dict[str, Any], group: str, name: str) -> int:
    details = counts.get(group)
    value = cast(dict[str, Any], details).get(name) if isinstance(details, dict) else None
    return count(value) or 0


def _failed(data: dict[str, Any]) -> ModelError:
    return failed(data.get("response"))


def _incomplete(data: dict[str, Any]) -> ModelError:
    return incomplete(data.get("response"))


_READERS: Mapping[str, Callable[[dict[str, Any]], ModelEvent | ModelError | None]] = {
    "response.created": _created,
    "response.metadata": _metadata,
    "response.output_item.added": _item_added,
    "response.output_item.done": _item_done,
    "response.reasoning_summary_part.added": _summary_part_added,
    "response.reasoning_summary_text.delta": _summary_delta,
    "response.reasoning_text.delta": _reasoning_delta,
    "response.custom_tool_call_input.delta": _input_delta,
    "response.completed": _completed,
    "response.failed": _failed,
    "response.incomplete": _incomplete,
}
