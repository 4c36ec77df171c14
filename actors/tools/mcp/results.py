"""The result of a call for the model, for clients and for the rollout."""

from __future__ import annotations

from typing import Any, cast

from attrs import evolve

from spindle.actors.tools.interface import Output
from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.items import McpToolCallError, McpToolCallItem, McpToolCallResult
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry


@frozen(kw_only=True)
class CallOutcome:
    """The end of a call after `seconds`: a result in MCP's form, or an error."""

    result: Json | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the tool or the call failed."""
        return self.result is None or self.result.get("isError") is True


def completed(item: McpToolCallItem, outcome: CallOutcome) -> McpToolCallItem:
    """The completed item of a call."""
    result = outcome.result
    return evolve(
        item,
        status="failed" if outcome.failed else "completed",
        result=None
        if result is None
        else McpToolCallResult(_content(result), result.get("structuredContent"), result.get("_meta")),
        error=None if outcome.error is None else McpToolCallError(outcome.error),
        duration_ms=int(outcome.seconds * 1000),
    )


def end_event(item: McpToolCallItem, outcome: CallOutcome) -> Entry:
    """The rollout record of a completed call."""
    return records.mcp_tool_call_end(
        call_id=item.id,
        invocation={"server": item.server, "tool": item.tool, "arguments": item.arguments},
        nanoseconds=int(outcome.seconds * 1_000_000_000),
        result=None if outcome.result is None else _kept(outcome.result),
        error=outcome.error,
    )


def model_output(outcome: CallOutcome) -> Output:
    """The answer to the model: a list if the result has images, else a text with the content as JSON."""
    head = f"Wall time: {outcome.seconds:.4f} seconds\nOutput:"
    if outcome.result is None:
        return f"{head}\n{error_content(outcome.error or '')}"
    structured = outcome.result.get("structuredContent")
    if structured is not None:
        return f"{head}\n{encode(structured).decode()}"
    content = _content(outcome.result)
    if not any(_is_image(part) for part in content):
        return f"{head}\n{encode(content).decode()}"
    return [{"type": "input_text", "text": head}, *(_part(part) for part in content)]


def error_content(message: str) -> str:
    """An error in the form of a tool's content, as JSON."""
    return encode([{"type": "text", "text": message}]).decode()


def aborted_output(seconds: float) -> str:
    """The answer to the model for an interrupted call."""
    return error_content(aborted(seconds))


def aborted(seconds: float) -> str:
    """The error of an interrupted call."""
    return f"aborted by user after {seconds:.1f}s"


def _part(part: object) -> dict[str, Any]:
    if _is_image(part):
        image = mapping(part)
        data = str(image.get("data"))
        url = data if data.startswith("data:") else f"data:{image.get('mimeType')};base64,{data}"
        return {"type": "input_image", "image_url": url, "detail": "high"}
    given = mapping(part)
    return {
        "type": "input_text",
        "text": str(given.get("text")) if given.get("type") == "text" else encode(given).decode(),
    }


def _is_image(part: object) -> bool:
    return mapping(part).get("type") == "image"


def _content(result: Json) -> list[object]:
    content = result.get("content")
    return cast("list[object]", content) if isinstance(content, list) else []


def _kept(result: Json) -> dict[str, Any]:
    return {
        key: result[key] for key in ("content", "structuredContent", "isError", "_meta") if result.get(key) is not None
    }
