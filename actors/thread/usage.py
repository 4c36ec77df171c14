"""A thread's token usage: from the form of rollouts to the notification for clients."""

from __future__ import annotations

from typing import Any, Final

from spindle.rpc.lenient import mapping
from spindle.rpc.model.interface import Completed
from spindle.rpc.protocol.threads import (
    RawResponseCompletedNotification,
    ThreadTokenUsage,
    ThreadTokenUsageUpdatedNotification,
    TokenUsageBreakdown,
)
from spindle.rpc.protocol.values import count

_COUNTS: Final = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")


def sound(info: dict[str, Any]) -> dict[str, Any]:
    """A rollout's `token_count` info, checked: counts are within bounds, and 0 where there is no valid one."""
    totals = {name: mapping(info.get(name)) for name in ("total_token_usage", "last_token_usage")}
    return {
        **{name: {part: count(counts.get(part)) or 0 for part in _COUNTS} for name, counts in totals.items()},
        "model_context_window": count(info.get("model_context_window")),
    }


def token_usage(thread_id: str, turn_id: str, info: dict[str, Any]) -> ThreadTokenUsageUpdatedNotification:
    """The notification of a `token_count` info that `sound` has checked."""
    return ThreadTokenUsageUpdatedNotification(
        thread_id,
        turn_id,
        ThreadTokenUsage(
            total=_breakdown(info["total_token_usage"]),
            last=_breakdown(info["last_token_usage"]),
            model_context_window=info["model_context_window"],
        ),
    )


def raw_response(thread_id: str, turn_id: str, event: Completed) -> RawResponseCompletedNotification:
    """The notification of a complete answer."""
    used = event.usage
    usage = None if used is None else TokenUsageBreakdown(**{part: getattr(used, part) for part in _COUNTS})
    return RawResponseCompletedNotification(thread_id, turn_id, event.response_id, usage)


def _breakdown(counts: dict[str, int]) -> TokenUsageBreakdown:
    return TokenUsageBreakdown(**{part: counts.get(part, 0) for part in _COUNTS})
