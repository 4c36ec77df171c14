"""The records of a rollout: their names, and the only place that builds them.

A record is the type and the payload of a line. The types, the events and the order of their members are those of Codex
0.124 with extended history; names that are only read are from other versions. Payloads are plain dicts: a turn writes
about ten records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

Entry: TypeAlias = tuple[str, dict[str, Any]]
"""A record to be written: the type of its line, and its payload."""

# -- the types of lines

SESSION_META: Final = "session_meta"
TURN_CONTEXT: Final = "turn_context"
RESPONSE_ITEM: Final = "response_item"
EVENT_MSG: Final = "event_msg"
COMPACTED: Final = "compacted"

# -- the types of events: of a turn and of the thread

TASK_STARTED: Final = "task_started"
TASK_COMPLETE: Final = "task_complete"
TURN_STARTED: Final = "turn_started"
"""`task_started` in newer versions; Spindle only reads it."""
TURN_COMPLETE: Final = "turn_complete"
"""`task_complete` in newer versions; Spindle only reads it."""
TURN_ABORTED: Final = "turn_aborted"
ERROR: Final = "error"
TOKEN_COUNT: Final = "token_count"
CONTEXT_COMPACTED: Final = "context_compacted"
THREAD_NAME_UPDATED: Final = "thread_name_updated"
THREAD_SETTINGS_APPLIED: Final = "thread_settings_applied"
THREAD_ROLLED_BACK: Final = "thread_rolled_back"

# -- the types of events: of an item

USER_MESSAGE: Final = "user_message"
AGENT_MESSAGE: Final = "agent_message"
AGENT_REASONING: Final = "agent_reasoning"
AGENT_REASONING_RAW_CONTENT: Final = "agent_reasoning_raw_content"
ITEM_COMPLETED: Final = "item_completed"
EXEC_COMMAND_END: Final = "exec_command_end"
PATCH_APPLY_END: Final = "patch_apply_end"
MCP_TOOL_CALL_END: Final = "mcp_tool_call_end"
DYNAMIC_TOOL_CALL_RESPONSE: Final = "dynamic_tool_call_response"
WEB_SEARCH_END: Final = "web_search_end"
IMAGE_GENERATION_END: Final = "image_generation_end"
VIEW_IMAGE_TOOL_CALL: Final = "view_image_tool_call"
ENTERED_REVIEW_MODE: Final = "entered_review_mode"
EXITED_REVIEW_MODE: Final = "exited_review_mode"
COLLAB_AGENT_SPAWN_END: Final = "collab_agent_spawn_end"
COLLAB_AGENT_INTERACTION_END: Final = "collab_agent_interaction_end"
COLLAB_WAITING_END: Final = "collab_waiting_end"
COLLAB_CLOSE_END: Final = "collab_close_end"
COLLAB_RESUME_END: Final = "collab_resume_end"

TURN_STARTS: Final = frozenset({TASK_STARTED, TURN_STARTED})
TURN_ENDS: Final = frozenset({TASK_COMPLETE, TURN_COMPLETE, TURN_ABORTED})
BESIDE_TURNS: Final = frozenset({TOKEN_COUNT, THREAD_NAME_UPDATED, THREAD_SETTINGS_APPLIED, THREAD_ROLLED_BACK})
"""The events that change a thread's state, and add nothing to a turn."""

AGENT_CALL_ENDS: Final[Mapping[str, str]] = {
    "spawnAgent": COLLAB_AGENT_SPAWN_END,
    "sendInput": COLLAB_AGENT_INTERACTION_END,
    "wait": COLLAB_WAITING_END,
    "closeAgent": COLLAB_CLOSE_END,
    "resumeAgent": COLLAB_RESUME_END,
}
"""The event that ends a call to an agent, by the protocol's name of the tool."""


def encoded(names: Iterable[str]) -> frozenset[bytes]:
    """The names as bytes, as in a file."""
    return frozenset(name.encode() for name in names)


def response_items(entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    """The payloads of the response items among `entries`."""
    return (payload for kind, payload in entries if kind == RESPONSE_ITEM)


def event_type(kind: str, payload: Mapping[str, Any]) -> str | None:
    """The type of an event; None for other records."""
    return payload.get("type") if kind == EVENT_MSG else None


# -- lines


def session_meta(meta: dict[str, Any]) -> Entry:
    """The metadata of the thread; the last line of this type counts."""
    return SESSION_META, meta


def turn_context(context: dict[str, Any]) -> Entry:
    """The settings that the model knows from here on."""
    return TURN_CONTEXT, context


def response_item(item: dict[str, Any]) -> Entry:
    """An item of the model's history, in the form of the Responses API."""
    return RESPONSE_ITEM, item


def compacted(message: str, replacement_history: Sequence[object]) -> Entry:
    """A compaction: the summary, and the history that replaces all before. The items may be `orjson.Fragment`s."""
    return COMPACTED, {"message": message, "replacement_history": replacement_history}


# -- events of a turn


def task_started(
    turn_id: str,
    started_at: int,
    model_context_window: int | None,
    collaboration_mode_kind: str,
    root_turn_id: str | None = None,
) -> Entry:
    """A turn starts. `started_at` is in seconds since the epoch, the window in tokens.

    `root_turn_id` is that of the request, if it names one. Codex 0.171 reads it.
    """
    return EVENT_MSG, {
        "type": TASK_STARTED,
        "turn_id": turn_id,
        **({} if root_turn_id is None else {"root_turn_id": root_turn_id}),
        "started_at": started_at,
        "model_context_window": model_context_window,
        "collaboration_mode_kind": collaboration_mode_kind,
    }


def failure(message: str, codex_error_info: object) -> dict[str, Any]:
    """Why a turn failed. The info is in the spelling of rollouts."""
    return {"message": message, "codex_error_info": codex_error_info}


def error(why: dict[str, Any], additional_details: str | None) -> Entry:
    """A turn failed; `why` is a `failure`."""
    return EVENT_MSG, {"type": ERROR, **why, "additional_details": additional_details}


def task_complete(
    turn_id: str,
    last_agent_message: str | None,
    completed_at: int | None,
    duration_ms: int | None,
    why: dict[str, Any] | None = None,
) -> Entry:
    """A turn is over. `why` is the `failure` of one that failed: Codex 0.169 reads it here, 0.124 from the `error`."""
    event: dict[str, Any] = {
        "type": TASK_COMPLETE,
        "last_agent_message": last_agent_message,
        "turn_id": turn_id,
        "completed_at": completed_at,
        "duration_ms": duration_ms,
    }
    if why is not None:
        event["error"] = why
    return EVENT_MSG, event


def turn_aborted(turn_id: str | None, **ended: int | None) -> Entry:
    """A turn was interrupted. `ended` may have `completed_at` and `duration_ms`; a turn without a start has no id."""
    event: dict[str, Any] = {"type": TURN_ABORTED, "reason": "interrupted"}
    if turn_id is not None:
        event["turn_id"] = turn_id
    return EVENT_MSG, event | ended


def turn_cut_off(turn_id: str) -> Entry:
    """A turn was interrupted by the end of its process. Written before the next turn starts."""
    return EVENT_MSG, {"type": TURN_ABORTED, "turn_id": turn_id, "reason": "interrupted"}


def token_count(info: dict[str, Any]) -> Entry:
    """The tokens used so far, by the thread and by the last answer."""
    return EVENT_MSG, {"type": TOKEN_COUNT, "info": info, "rate_limits": None}


def context_compacted() -> Entry:
    """The compaction item of a turn."""
    return EVENT_MSG, {"type": CONTEXT_COMPACTED}


# -- events of the thread


def thread_name_updated(thread_id: str, thread_name: str) -> Entry:
    """The thread has a new name."""
    return EVENT_MSG, {"type": THREAD_NAME_UPDATED, "thread_id": thread_id, "thread_name": thread_name}


def thread_settings_applied(thread_id: str, thread_settings: dict[str, Any]) -> Entry:
    """The settings for the next turns."""
    return EVENT_MSG, {
        "type": THREAD_SETTINGS_APPLIED,
        "thread_id": thread_id,
        "thread_settings": thread_settings,
    }


def thread_rolled_back(num_turns: int) -> Entry:
    """The last `num_turns` turns do not count any more."""
    return EVENT_MSG, {"type": THREAD_ROLLED_BACK, "num_turns": num_turns}


# -- events of an item


def user_message(
    message: str,
    images: Sequence[str],
    local_images: Sequence[str],
    text_elements: Sequence[dict[str, Any]],
    client_id: str | None = None,
    content: Sequence[dict[str, Any]] | None = None,
) -> Entry:
    """What the user said: all text as one, the URLs and paths of images, and the elements of the text.

    `client_id` is the client's own id of the message, as in Codex 0.169. It comes first, so that it is found without
    parsing the line. `content` has all parts, in the form of 0.171, if the other members cannot hold them; 0.124 ignores it.
    """
    return EVENT_MSG, {
        "type": USER_MESSAGE,
        **({} if client_id is None else {"client_id": client_id}),
        "message": message,
        "images": images,
        "local_images": local_images,
        "text_elements": text_elements,
        **({} if content is None else {"content": content}),
    }


def agent_message(message: str, phase: str | None = None) -> Entry:
    """What the assistant said."""
    return EVENT_MSG, {"type": AGENT_MESSAGE, "message": message, "phase": phase, "memory_citation": None}


def agent_reasoning(text: str) -> Entry:
    """One part of a reasoning summary."""
    return EVENT_MSG, {"type": AGENT_REASONING, "text": text}


def agent_reasoning_raw_content(text: str) -> Entry:
    """One part of raw reasoning."""
    return EVENT_MSG, {"type": AGENT_REASONING_RAW_CONTENT, "text": text}


def item_completed(thread_id: str, turn_id: str, item: dict[str, Any], at_ms: int | None = None) -> Entry:
    """An item stored whole, in the form of Codex 0.169. `at_ms`, in milliseconds, is both its start and its end."""
    event: dict[str, Any] = {"type": ITEM_COMPLETED, "thread_id": thread_id, "turn_id": turn_id, "item": item}
    if at_ms is not None:
        event |= {"started_at_ms": at_ms, "completed_at_ms": at_ms}
    return EVENT_MSG, event


def exec_command_end(
    *,
    call_id: str,
    process_id: str | None,
    turn_id: str,
    command: Sequence[str],
    cwd: str,
    parsed_cmd: Sequence[dict[str, Any]],
    source: str,
    output: str,
    exit_code: int | None,
    nanoseconds: int,
    status: str,
) -> Entry:
    """A command ended. One that did not run has no exit code, and readers get -1."""
    return EVENT_MSG, {
        "type": EXEC_COMMAND_END,
        "call_id": call_id,
        **({} if process_id is None else {"process_id": process_id}),
        "turn_id": turn_id,
        "command": command,
        "cwd": cwd,
        "parsed_cmd": parsed_cmd,
        "source": source,
        "stdout": "",
        "stderr": "",
        "aggregated_output": output,
        "exit_code": -1 if exit_code is None else exit_code,
        "duration": _duration(nanoseconds),
        "formatted_output": "",
        "status": status,
    }


def patch_apply_end(
    *, call_id: str, turn_id: str, stdout: str, stderr: str, changes: dict[str, dict[str, Any]], status: str
) -> Entry:
    """A patch was applied (`completed`), failed, or was declined. `changes` are by path."""
    return EVENT_MSG, {
        "type": PATCH_APPLY_END,
        "call_id": call_id,
        "turn_id": turn_id,
        "stdout": stdout,
        "stderr": stderr,
        "success": status == "completed",
        "changes": changes,
        "status": status,
    }


def mcp_tool_call_end(
    *, call_id: str, invocation: dict[str, Any], nanoseconds: int, result: Mapping[str, Any] | None, error: str | None
) -> Entry:
    """A call of an MCP tool ended, with the server's result or an error."""
    return EVENT_MSG, {
        "type": MCP_TOOL_CALL_END,
        "call_id": call_id,
        "invocation": invocation,
        "duration": _duration(nanoseconds),
        "result": {"Err": error} if result is None else {"Ok": result},
    }


def dynamic_tool_call_response(
    *,
    call_id: str,
    turn_id: str,
    tool: str,
    namespace: str | None,
    arguments: object,
    content_items: object,
    success: bool,
    nanoseconds: int,
) -> Entry:
    """The client answered a call of one of its own tools."""
    event: dict[str, Any] = {
        "type": DYNAMIC_TOOL_CALL_RESPONSE,
        "call_id": call_id,
        "turn_id": turn_id,
        "tool": tool,
        "arguments": arguments,
        "content_items": content_items,
        "success": success,
        "error": None,
        "duration": _duration(nanoseconds),
    }
    if namespace is not None:
        event["namespace"] = namespace
    return EVENT_MSG, event


def web_search_end(call_id: str, query: str, action: dict[str, Any]) -> Entry:
    """The model searched the web; `action` is in the form of the Responses API."""
    return EVENT_MSG, {"type": WEB_SEARCH_END, "call_id": call_id, "query": query, "action": action}


def image_generation_end(call_id: str, status: str, revised_prompt: str | None, result: str) -> Entry:
    """The model made an image; `result` is the image in base64."""
    return EVENT_MSG, {
        "type": IMAGE_GENERATION_END,
        "call_id": call_id,
        "status": status,
        "revised_prompt": revised_prompt,
        "result": result,
    }


def view_image_tool_call(call_id: str, path: str) -> Entry:
    """The model looked at an image file."""
    return EVENT_MSG, {"type": VIEW_IMAGE_TOOL_CALL, "call_id": call_id, "path": path}


def entered_review_mode(target: object, user_facing_hint: str) -> Entry:
    """A review starts."""
    return EVENT_MSG, {"type": ENTERED_REVIEW_MODE, "target": target, "user_facing_hint": user_facing_hint}


def exited_review_mode(review_output: dict[str, Any] | None) -> Entry:
    """A review is over; None for one that was not finished. See `reviews.review_output`."""
    return EVENT_MSG, {"type": EXITED_REVIEW_MODE, "review_output": review_output}


def agent_call_end(
    tool: str, call_id: str, turn_id: str, sender_thread_id: str, outcome: Mapping[str, Any]
) -> Entry:
    """A call to an agent ended; `outcome` are the members that differ by `tool`."""
    return EVENT_MSG, {
        "type": AGENT_CALL_ENDS[tool],
        "call_id": call_id,
        "turn_id": turn_id,
        "sender_thread_id": sender_thread_id,
        **outcome,
    }


def _duration(nanoseconds: int) -> dict[str, int]:
    return {"secs": nanoseconds // 1_000_000_000, "nanos": nanoseconds % 1_000_000_000}
