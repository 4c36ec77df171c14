"""A conversation as evidence for a reviewer: its messages, calls and outputs as numbered lines, the latest within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from spindle.rpc.lenient import mapping, sequence, text
from spindle.storage.rollout.history import is_user_message, stored

BUDGET = 40_000
"""Characters of what was done, and as many of what the user has said."""
LONGEST = 4_000
"""Characters of one entry."""
APPROVED = "<approved_action>"
"""Begins a developer message that says what the user has approved after a denial."""


def transcript(history: Sequence[bytes]) -> str:
    """The entries, oldest first. What does not fit is left out, and marked. Blocking."""
    kept: list[str] = []
    room = {"user": BUDGET, "other": BUDGET}
    left_out = 0
    for encoded in reversed(history):
        entry = _entry(encoded)
        if entry is None:
            continue
        speaker, words = entry
        account = "user" if speaker in ("user", "approval") else "other"
        words = words if len(words) <= LONGEST else f"{words[: LONGEST - 1000]} [… left out …] {words[-1000:]}"
        if len(words) > room[account]:
            left_out += 1
            continue
        room[account] -= len(words)
        kept.append(f"{speaker}: {words}")
    lines = [f"[{number}] {line}" for number, line in enumerate(reversed(kept), 1)]
    return "\n".join([*([f"[{left_out} entries were left out]"] if left_out else []), *lines])


def _entry(encoded: bytes) -> tuple[str, str] | None:
    item: Any = orjson.loads(encoded)
    match item.get("type"):
        case "message" if item.get("role") == "assistant":
            return "agent", _text(item)
        case "message" if item.get("role") == "developer" and _text(item).startswith(APPROVED):
            return "approval", _text(item)
        case "message" if item.get("role") == "user" and (shown := stored(dict(item))) is not None and is_user_message(shown):
            return "user", _text(item)
        case "function_call" | "custom_tool_call":
            return f"call of {item.get('name')}", text(item.get("arguments") or item.get("input"))
        case "function_call_output" | "custom_tool_call_output":
            output = item.get("output")
            return "output", output if isinstance(output, str) else _texts(output)
        case _:
            return None


def _text(item: Any) -> str:
    return _texts(item.get("content"))


def _texts(parts: object) -> str:
    return "".join(text(mapping(part).get("text")) for part in sequence(parts))
