"""The file of a recording: JSONL with a header, and for each exchange a line `request` and lines of what came.

    {"spindle_recording": 1}
    {"request": {"model": …, "tools": [names], "input": [response items]}}
    {"event": {…}}      an event of the Responses API; the text of a message or of thoughts in one piece
    {"error": {"message", "info", "retryable", "details", "status", "retry_after"}}
    {"end": "cancelled"}

The request is what is compared when the recording is played. Folders have names: `<cwd>`, `<home>`, `<codex-home>`, `<tmp>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import orjson
from attrs import Factory, define, evolve

from spindle.rpc.lenient import is_mapping, mapping
from spindle.rpc.model.decode import decode
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
)
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.protocol.values import loads
from spindle.storage.outside import read_file

VERSION: Final = 1
LARGEST: Final = 64 << 20
"""The most bytes of a recording that is read."""
_DELTAS: Final = (TextDelta, SummaryDelta, ReasoningDelta, InputDelta)


@define
class Exchange:
    """A request and what came of it. `events` are those of the Responses API."""

    request: Mapping[str, Any]
    events: list[Mapping[str, Any]] = Factory(list[Mapping[str, Any]])
    error: Mapping[str, Any] | None = None
    cancelled: bool = False
    played: bool = False

    def lines(self) -> list[Mapping[str, Any]]:
        """Its lines in the file."""
        lines: list[Mapping[str, Any]] = [{"request": self.request}, *({"event": event} for event in self.events)]
        if self.error is not None:
            lines.append({"error": self.error})
        if self.cancelled:
            lines.append({"end": "cancelled"})
        return lines


def written(exchanges: Iterable[Exchange]) -> bytes:
    """The file."""
    lines: list[Mapping[str, Any]] = [{"spindle_recording": VERSION}]
    for exchange in exchanges:
        lines += exchange.lines()
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def read(path: Path) -> list[Exchange]:
    """The exchanges of a file of at most `LARGEST` bytes. Blocking. Raises OSError, and ValueError with the line's number."""
    exchanges: list[Exchange] = []
    for number, text in enumerate(read_file(path, LARGEST).splitlines(), 1):
        try:
            line = loads(text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        match line:
            case {"spindle_recording": version} if number == 1:
                if version != VERSION:
                    raise ValueError(f"{path}: a recording of version {version}; this Spindle reads version {VERSION}")
            case _ if number == 1:
                raise ValueError(f"{path}: not a recording of Spindle")
            case {"request": request} if is_mapping(request):
                exchanges.append(Exchange(request))
            case {"event": event} if exchanges and is_mapping(event):
                exchanges[-1].events.append(event)
            case {"error": failure} if exchanges and is_mapping(failure):
                exchanges[-1].error = failure
            case {"end": "cancelled"} if exchanges:
                exchanges[-1].cancelled = True
            case _:
                raise ValueError(f"{path}: line {number}: neither a request nor a part of its answer")
    return exchanges


def decoded(event: Mapping[str, Any]) -> list[ModelEvent]:
    """The model's event, if it is a known one."""
    events: list[ModelEvent] = []
    decode([orjson.dumps(event)], events)
    return events


def encoded(events: Iterable[ModelEvent]) -> list[Mapping[str, Any]]:
    """The events as those of the Responses API. Deltas that follow each other are one, so that no secret is split."""
    return [_encoded(event) for event in _joined(events)]


def error_of(fields: Mapping[str, Any]) -> ModelError:
    """The error of a line."""
    status, retry_after, details = fields.get("status"), fields.get("retry_after"), fields.get("details")
    return ModelError(
        str(fields.get("message", "")),
        fields.get("info", "other"),
        fields.get("retryable") is True,
        details if isinstance(details, str) else None,
        status=status if isinstance(status, int) else None,
        retry_after=float(retry_after) if isinstance(retry_after, int | float) else None,
    )


def error_fields(error: ModelError) -> Mapping[str, Any]:
    """The line of an error."""
    names = ("message", "info", "retryable", "details", "status", "retry_after")
    return {name: value for name in names if (value := getattr(error, name)) not in (None, False)}


def _joined(events: Iterable[ModelEvent]) -> Sequence[ModelEvent]:
    joined: list[ModelEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, _DELTAS) and isinstance(last, _DELTAS) and evolve(last, delta="") == evolve(event, delta=""):
            joined[-1] = evolve(last, delta=last.delta + event.delta)
        else:
            joined.append(event)
    return joined


def _completed(event: Completed) -> dict[str, Any]:
    response: dict[str, Any] = {"id": event.response_id} | ({} if event.model is None else {"model": event.model})
    if (usage := event.usage) is not None:
        response["usage"] = {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_input_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_output_tokens},
            "total_tokens": usage.total_tokens,
        }
    return {"type": "response.completed", "response": response}


def _headers(model: str | None) -> dict[str, str]:
    return {} if model is None else {"openai-model": model}


def _encoded(event: ModelEvent) -> dict[str, Any]:
    match event:
        case Created(id, model):
            return {"type": "response.created", "response": {"id": id, "headers": _headers(model)}}
        case ResponseMetadata(model, verifications, moderation):
            said = {
                "openai_verification_recommendation": list(verifications),
                "openai_chatgpt_moderation_metadata": moderation,
            }
            return {"type": "response.metadata", "headers": _headers(model), "metadata": said}
        case ItemAdded(item):
            return {"type": "response.output_item.added", "item": item}
        case ItemDone(item):
            return {"type": "response.output_item.done", "item": item}
        case TextDelta(delta, item_id):
            return {"type": "response.output_text.delta", "delta": delta, "item_id": item_id}
        case SummaryPartAdded(index):
            return {"type": "response.reasoning_summary_part.added", "summary_index": index}
        case SummaryDelta(delta, index):
            return {"type": "response.reasoning_summary_text.delta", "delta": delta, "summary_index": index}
        case ReasoningDelta(delta, index):
            return {"type": "response.reasoning_text.delta", "delta": delta, "content_index": index}
        case InputDelta(delta, item_id):
            return {"type": "response.custom_tool_call_input.delta", "delta": delta, "item_id": item_id}
        case Completed():
            return _completed(event)


def compared(request: Mapping[str, Any]) -> str:
    """What a request is found by, as text in which a difference is readable."""
    return orjson.dumps(request, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()


def last_text(request: Mapping[str, Any]) -> str:
    """The last thing that the request says, for people."""
    for item in reversed(cast("list[object]", request.get("input") or [])):
        found = mapping(item)
        said = found.get("output", found.get("content"))
        if isinstance(said, str):
            return repr(said[:200])
        if isinstance(said, list):
            texts = [str(mapping(part).get("text", "")) for part in cast("list[object]", said)]
            return repr("".join(texts)[:200])
    return "nothing"
