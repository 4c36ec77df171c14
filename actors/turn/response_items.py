"""Response items from a client: which of them can become part of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from spindle.rpc.protocol.errors import invalid_request

# the members that an item of a known type must have; unknown types are passed on as they are
_REQUIRED = {
    "message": ("role", "content"),
    "reasoning": ("summary",),
    "function_call": ("name", "arguments", "call_id"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call": ("call_id", "name", "input"),
    "custom_tool_call_output": ("call_id", "output"),
    "local_shell_call": ("status", "action"),
}


def check_items(items: Sequence[object]) -> list[Mapping[str, Any]]:
    """The items, each an object with a type and what a model needs of that type. Raises RpcError naming the first bad one."""
    if not items:
        raise invalid_request("items must not be empty")
    for index, item in enumerate(items):
        if (reason := _fault(item)) is not None:
            raise invalid_request(f"items[{index}] is not a valid response item: {reason}")
    return cast("list[Mapping[str, Any]]", list(items))


def _fault(item: object) -> str | None:
    if not isinstance(item, Mapping):
        return "not an object"
    members = cast("Mapping[str, Any]", item)
    if "type" not in members:
        return "missing field `type`"
    kind = members["type"]
    if not isinstance(kind, str):
        return "`type` is not a string"
    missing = next((name for name in _REQUIRED.get(kind, ()) if name not in members), None)
    if missing is not None:
        return f"missing field `{missing}`"
    if kind == "message" and not isinstance(members["content"], list):
        return "`content` is not an array"
    return None
