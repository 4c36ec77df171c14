"""What a thread has used, from the form rollouts have it in to the one clients are told."""

from __future__ import annotations

from typing import Any

from spindle.rpc.protocol.threads import (
    ThreadTokenUsage,
    ThreadTokenUsageUpdatedNotification,
    TokenUsageBreakdown,
)


def token_usage(thread_id: str, turn_id: str, info: dict[str, Any]) -> ThreadTokenUsageUpdatedNotification:
    """The notification of a rollout's `token_count` info."""
    window = info.get("model_context_window")
    return ThreadTokenUsageUpdatedNotification(
        thread_id,
        turn_id,
        ThreadTokenUsage(
            total=_breakdown(info.get("total_token_usage")),
            last=_breakdown(info.get("last_token_usage")),
            model_context_window=window if isinstance(window, int) else None,
        ),
    )


def _breakdown(tokens: Any) -> TokenUsageBreakdown:
    tokens = tokens or {}
    return TokenUsageBreakdown(
        total_tokens=int(tokens.get("total_tokens") or 0),
        input_tokens=int(tokens.get("input_tokens") or 0),
        cached_input_tokens=int(tokens.get("cached_input_tokens") or 0),
        output_tokens=int(tokens.get("output_tokens") or 0),
        reasoning_output_tokens=int(tokens.get("reasoning_output_tokens") or 0),
    )
