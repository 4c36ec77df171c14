"""Convert the items in rollouts to the protocol's thread items, in JSON form.

There are three forms: an event per kind of item (`exec_command_end` and the like, Codex 0.124); one `item_completed`
event with a snake_case item named in PascalCase ("CommandExecution", Codex 0.169); and the same event with an item in
the protocol's form ("commandExecution", Spindle), which is used unchanged.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from spindle.rpc.lenient import Json, is_mapping, mapping, sequence, text
from spindle.rpc.protocol.values import count
from spindle.storage.rollout import records
from spindle.storage.rollout.agents import agent_call, agent_call_item
from spindle.storage.rollout.reviews import review_text


def camel(name: str) -> str:
    """`snake_case` or `PascalCase` to `camelCase`."""
    head, *rest = name.split("_")
    return head[:1].lower() + head[1:] + "".join(part[:1].upper() + part[1:] for part in rest)


def _path(value: object) -> str:
    """A plain path; newer rollouts have working directories as file: URLs."""
    given = text(value)
    return unquote(urlsplit(given).path) if given.startswith("file://") else given


def milliseconds(duration: object) -> int | None:
    """A duration `{"secs", "nanos"}` in whole milliseconds."""
    parts = mapping(duration)
    seconds = count(parts.get("secs"))
    return None if seconds is None else seconds * 1000 + (count(parts.get("nanos")) or 0) // 1_000_000


def error_info(value: object) -> object:
    """A stored `codex_error_info` in the protocol's spelling. Values in that spelling are unchanged."""
    if isinstance(value, str):
        return camel(value)
    if is_mapping(value):
        return {
            camel(key): {camel(k): v for k, v in body.items()} if is_mapping(body) else body
            for key, body in value.items()
        }
    return value


def stored_error_info(value: object) -> object:
    """The protocol's `codexErrorInfo` in the spelling of rollouts: the inverse of `error_info`."""
    if isinstance(value, str):
        return _snake(value)
    if is_mapping(value):
        return {
            _snake(key): {_snake(k): v for k, v in body.items()} if is_mapping(body) else body
            for key, body in value.items()
        }
    return value


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


OUTPUT_LIMIT = 64 * 1024
"""The most characters shown of a stored command's output; the file keeps all."""


def cut_output(output: str) -> str:
    """The output, without its middle if it is longer than `OUTPUT_LIMIT` characters."""
    return cut_middle(output, OUTPUT_LIMIT, "characters", 1)


def cut_middle(output: str, limit: int, unit: str, size: int) -> str:
    """The first and last `limit / 2` characters, and between them the number of removed units of `size` characters."""
    if len(output) <= limit:
        return output
    half = limit // 2
    if not half:
        return f"…{len(output) // size} {unit} truncated…"
    return f"{output[:half]}…{(len(output) - 2 * half) // size} {unit} truncated…{output[-half:]}"


def _text_element(value: object) -> Json:
    element = mapping(value)
    bounds = element.get("byte_range", element.get("byteRange"))
    return {"byteRange": bounds, "placeholder": element.get("placeholder")}


def _text_input(words: object, elements: object) -> Json:
    spans = [_text_element(element) for element in sequence(elements)] if elements else []
    return {"type": "text", "text": text(words), "text_elements": spans}


def _user_input(value: object) -> Json:
    given = mapping(value)
    match given.get("type"):
        case "text":
            return _text_input(given.get("text"), given.get("text_elements"))
        case "image":
            return _reference("image", given, "image_url", "detail")
        case "audio":
            return _reference("audio", given, "audio_url")
        case "local_image" | "localImage":
            detail = {"detail": given["detail"]} if given.get("detail") is not None else {}
            return {"type": "localImage", "path": given.get("path"), **detail}
        case "local_audio" | "localAudio":
            return {"type": "localAudio", "path": given.get("path")}
        case _:
            return given


def _reference(kind: str, given: Json, url: str, *more: str) -> Json:
    """An image or audio by URL or by the id of a file."""
    found = {"url": given.get(url, given.get("url")), "fileId": given.get("file_id", given.get("fileId"))}
    found |= {name: given.get(name) for name in more}
    return {"type": kind, **{name: value for name, value in found.items() if value is not None}}


def user_message(event: Json) -> Json:
    """The item of a `user_message` event, without its id."""
    if whole := sequence(event.get("content")):
        return {"type": "userMessage", **_client_id(event), "content": [_user_input(part) for part in whole]}
    content: list[Json] = []
    if text(event.get("message")).strip():
        content.append(_text_input(event.get("message"), event.get("text_elements")))
    content += [{"type": "image", "url": url} for url in sequence(event.get("images"))]
    content += [{"type": "localImage", "path": path} for path in sequence(event.get("local_images"))]
    return {"type": "userMessage", **_client_id(event), "content": content}


def _client_id(event: Json) -> Json:
    given = event.get("client_id")
    return {"clientId": given} if isinstance(given, str) else {}


def agent_message(event: Json) -> Json:
    """The item of an `agent_message` event, without its id."""
    return {
        "type": "agentMessage",
        "text": text(event.get("message")),
        "phase": event.get("phase"),
        "memoryCitation": _citation(event.get("memory_citation")),
    }


def _citation(value: object) -> object:
    """A memory citation, with members in camelCase."""
    given = mapping(value)
    if not given:
        return None
    entries = [{camel(k): v for k, v in mapping(entry).items()} for entry in sequence(given.get("entries"))]
    threads = given.get("thread_ids", given.get("rollout_ids", given.get("threadIds")))
    return {"entries": entries, "threadIds": sequence(threads)}


def _action(value: object, cwd: str) -> Json:
    parsed = mapping(value)
    action: Json = {"type": camel(text(parsed.get("type")) or "unknown"), "command": text(parsed.get("cmd"))}
    match action["type"]:
        case "read":
            action["name"] = text(parsed.get("name"))
            action["path"] = os.path.join(cwd, _path(parsed.get("path")))
        case "listFiles":
            action["path"] = parsed.get("path")
        case "search":
            action["query"], action["path"] = parsed.get("query"), parsed.get("path")
        case _:
            action["type"] = "unknown"
    return action


def _command(event: Json) -> Json:
    cwd = _path(event.get("cwd"))
    command = event.get("command")
    status = camel(text(event.get("status")) or ("failed" if event.get("exit_code") else "completed"))
    ran = status != "declined"  # the line has an exit code nevertheless
    return {
        "type": "commandExecution",
        "command": command if isinstance(command, str) else shlex.join(str(word) for word in sequence(command)),
        "cwd": cwd,
        "processId": event.get("process_id"),
        "source": camel(text(event.get("source")) or "agent"),
        "status": status,
        "commandActions": [_action(value, cwd) for value in sequence(event.get("parsed_cmd"))],
        "aggregatedOutput": cut_output(text(event.get("aggregated_output"))) or None,
        "exitCode": event.get("exit_code") if ran else None,
        "durationMs": milliseconds(event.get("duration")) if ran else None,
    }


def _change(path: str, value: object) -> Json:
    change = mapping(value)
    kind: Json = {"type": change.get("type")}
    diff = text(change.get("content"))
    if kind["type"] == "update":
        kind["move_path"] = move = change.get("move_path")
        diff = text(change.get("unified_diff")) + (f"\n\nMoved to: {move}" if move else "")
    return {"path": path, "kind": kind, "diff": diff}


def _patch(event: Json) -> Json:
    changes = mapping(event.get("changes"))
    status = text(event.get("status")) or ("failed" if event.get("success") is False else "completed")
    return {
        "type": "fileChange",
        "changes": [_change(path, changes[path]) for path in sorted(changes)],
        "status": camel(status),
    }


def _mcp_call(event: Json) -> Json:
    asked = mapping(event.get("invocation")) or event
    outcome = mapping(event.get("result"))
    answer, failure = outcome.get("Ok"), outcome.get("Err")
    if answer is None and failure is None:  # an item, not an event: it has result and error as two members
        answer, failure = event.get("result"), event.get("error")
    answer = mapping(answer) if answer is not None else None
    failed = failure is not None or bool(answer and (answer.get("isError") or answer.get("is_error")))
    item: Json = {
        "type": "mcpToolCall",
        "server": text(asked.get("server")),
        "tool": text(asked.get("tool")),
        "status": camel(text(event.get("status"))) or ("failed" if failed else "completed"),
        "arguments": asked.get("arguments"),
        "result": None,
        "error": None,
        "durationMs": milliseconds(event.get("duration")),
    }
    if event.get("mcp_app_resource_uri") is not None:
        item["mcpAppResourceUri"] = event["mcp_app_resource_uri"]
    if answer is not None:
        structured = answer.get("structuredContent", answer.get("structured_content"))
        content = sequence(answer.get("content"))
        item["result"] = {"content": content, "structuredContent": structured, "_meta": answer.get("_meta")}
    if failure is not None:
        item["error"] = {"message": text(mapping(failure).get("message")) or str(failure)}
    return item


def _dynamic_call(event: Json) -> Json:
    success = event.get("success")
    content = event.get("content_items")
    status = text(event.get("status")) or ("inProgress" if success is None else "completed" if success else "failed")
    return {
        "type": "dynamicToolCall",
        "namespace": event.get("namespace"),
        "tool": text(event.get("tool")),
        "arguments": event.get("arguments"),
        "status": camel(status),
        "contentItems": None if content is None else sequence(content),
        "success": success,
        "durationMs": milliseconds(event.get("duration")),
    }


def _web_search(event: Json) -> Json:
    action = mapping(event.get("action"))
    shown: Json | None = None
    if action:
        shown = {"type": camel(text(action.get("type")) or "other")}
        members: Mapping[str, tuple[str, ...]] = {
            "search": ("query", "queries"),
            "openPage": ("url",),
            "findInPage": ("url", "pattern"),
        }
        shown |= {name: action.get(name) for name in members.get(shown["type"], ())}
    return {"type": "webSearch", "query": text(event.get("query")), "action": shown}


def _image_generation(event: Json) -> Json:
    item: Json = {
        "type": "imageGeneration",
        "status": text(event.get("status")),
        "revisedPrompt": event.get("revised_prompt"),
        "result": text(event.get("result")),
    }
    if event.get("saved_path") is not None:
        item["savedPath"] = _path(event["saved_path"])
    return item


def _image_view(event: Json) -> Json:
    return {"type": "imageView", "path": _path(event.get("path"))}


def _entered_review(event: Json) -> Json:
    hint = event.get("review", event.get("user_facing_hint"))
    return {"type": "enteredReviewMode", "review": text(hint) or "Review requested."}


def _exited_review(event: Json) -> Json:
    review = text(event.get("review")) or review_text(mapping(event.get("review_output")))
    return {"type": "exitedReviewMode", "review": review}


def _function_call_output(item: Json) -> Json:
    given = {"name": text(item.get("name")), "namespace": item.get("namespace"), "output": item.get("output")}
    return {"type": "functionCallOutput", **given}


def _plan(item: Json) -> Json:
    return {"type": "plan", "text": text(item.get("text"))}


def _compaction(_: Json) -> Json:
    return {"type": "contextCompaction"}


# events that end one item, whose id is their call_id; items without one are numbered
EVENTS: Mapping[str, Callable[[Json], Json]] = {
    records.EXEC_COMMAND_END: _command,
    records.PATCH_APPLY_END: _patch,
    records.MCP_TOOL_CALL_END: _mcp_call,
    records.DYNAMIC_TOOL_CALL_RESPONSE: _dynamic_call,
    records.WEB_SEARCH_END: _web_search,
    records.IMAGE_GENERATION_END: _image_generation,
    records.VIEW_IMAGE_TOOL_CALL: _image_view,
    records.ENTERED_REVIEW_MODE: _entered_review,
    records.EXITED_REVIEW_MODE: _exited_review,
    records.CONTEXT_COMPACTED: _compaction,
    **dict.fromkeys(records.AGENT_CALL_ENDS.values(), agent_call),
}

SHOWN_AS: Mapping[str, str] = {
    records.EXEC_COMMAND_END: "commandExecution",
    records.PATCH_APPLY_END: "fileChange",
    records.MCP_TOOL_CALL_END: "mcpToolCall",
    records.DYNAMIC_TOOL_CALL_RESPONSE: "dynamicToolCall",
    records.WEB_SEARCH_END: "webSearch",
    records.IMAGE_GENERATION_END: "imageGeneration",
    records.VIEW_IMAGE_TOOL_CALL: "imageView",
    records.ENTERED_REVIEW_MODE: "enteredReviewMode",
    records.EXITED_REVIEW_MODE: "exitedReviewMode",
    records.CONTEXT_COMPACTED: "contextCompaction",
    **dict.fromkeys(records.AGENT_CALL_ENDS.values(), "collabAgentToolCall"),
}
"""The type of item of each of `EVENTS`."""


def _user_item(item: Json) -> Json:
    content = [_user_input(part) for part in sequence(item.get("content"))]
    return {"type": "userMessage", **_client_id(item), "content": content}


def _agent_item(item: Json) -> Json:
    words = "".join(text(mapping(part).get("text")) for part in sequence(item.get("content")))
    return agent_message({**item, "message": words})


def _reasoning_item(item: Json) -> Json:
    summary, raw = sequence(item.get("summary_text")), sequence(item.get("raw_content"))
    return {"type": "reasoning", "summary": summary, "content": raw}


_NAMED: Mapping[str, Callable[[Json], Json]] = {
    "UserMessage": _user_item,
    "AgentMessage": _agent_item,
    "Reasoning": _reasoning_item,
    "Plan": _plan,
    "FunctionCallOutput": _function_call_output,
    "CommandExecution": _command,
    "FileChange": _patch,
    "McpToolCall": _mcp_call,
    "DynamicToolCall": _dynamic_call,
    "WebSearch": _web_search,
    "ImageView": _image_view,
    "ImageGeneration": _image_generation,
    "EnteredReviewMode": _entered_review,
    "ExitedReviewMode": _exited_review,
    "ContextCompaction": _compaction,
    "CollabAgentToolCall": agent_call_item,
}

# items without a call id are numbered through the thread
NUMBERED = frozenset(
    {"userMessage", "agentMessage", "reasoning", "enteredReviewMode", "exitedReviewMode", "contextCompaction"}
)


_SHOWN_TYPES = {name: camel(name) for name in _NAMED}


def shown_type(item: Json) -> str:
    """The type that `completed_item` gives an item."""
    kind = text(item.get("type"))
    return _SHOWN_TYPES.get(kind) or (kind if kind[:1].islower() else camel(kind))


def completed_item(item: Json) -> Json:
    """The item of an `item_completed` event, with its stored id."""
    kind = text(item.get("type"))
    convert = _NAMED.get(kind)
    if convert is not None:
        shown = convert(item)
        shown["id"] = item.get("id")
        return shown
    if kind[:1].islower():
        return item
    return {camel(key): value for key, value in item.items()} | {"type": camel(kind)}
