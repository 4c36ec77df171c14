"""The errors of model requests, in the form that clients see.

`info` has a value of the protocol's `CodexErrorInfo`. The mapping of failures to values, and the texts with a status or
with the provider's own words, are those of Codex app-server 0.124.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson

from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.values import loads, readable

_MESSAGE_LIMIT = 20_000
_REASON_LIMIT = 16_384


class ModelError(Exception):
    """A request that failed.

    `message` and `info` (JSON) are shown in the turn's error, `details` in its additional details (usually None).
    `retryable`: the same request may be sent again. A retry is announced with `retry_info`, and with `message` as its
    additional details. `status` is the HTTP status of the failure, `retry_after` the wait in seconds that the provider
    asked for.

    The message may contain the provider's words. It is cut to 20,000 characters, and control characters are escaped.
    """

    def __init__(
        self,
        message: str,
        info: object = "other",
        retryable: bool = False,
        details: str | None = None,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = readable(message, _MESSAGE_LIMIT)
        super().__init__(self.message)
        self.info = info
        self.retryable = retryable
        self.details = details
        self.status = status
        self.retry_after = retry_after

    @property
    def retry_info(self) -> dict[str, dict[str, int | None]]:
        """The `codexErrorInfo` of the retry's announcement."""
        return {"responseStreamDisconnected": {"httpStatusCode": self.status}}


def disconnected(reason: str, retry_after: float | None = None) -> ModelError:
    """The answer broke off or never began."""
    message = f"stream disconnected before completion: {reason}"
    return ModelError(message, retryable=True, retry_after=retry_after)


def refused(status: int, body: bytes, url: str, now: datetime | None = None) -> ModelError:
    """The answer was an HTTP status other than 2xx. A reset time is worded relative to `now` (default: the clock)."""
    text = body.decode("utf-8", "replace").strip()[:_REASON_LIMIT]
    error = _error_member(body)
    kind = error.get("type")
    if status == 400 and text:
        if "image data you provided does not represent a valid image" in text:
            return ModelError("The last message holds an image that the model cannot read.", "badRequest")
        return ModelError(text)
    if status == 429:
        if kind == "usage_limit_reached":
            return _usage_limit(error, now)
        if kind == "usage_not_included":
            return _not_included()
        info = {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
        return ModelError(f"exceeded retry limit, last status: {_named(status)}", info, status=status)
    if status == 500:
        return ModelError("The model's server failed. This is often temporary.", "internalServerError", retryable=True)
    if status == 503 and error.get("code") in ("server_is_overloaded", "slow_down"):
        return _overloaded()
    message = _message_of(error) or text or "no explanation"
    return ModelError(f"unexpected status {_named(status)}: {message}, url: {url}", retryable=True, status=status)


def failed(response: object) -> ModelError:
    """The answer ended in `response.failed`; `response` is that event's member of this name."""
    error = mapping(mapping(response).get("error"))
    message = _message_of(error)
    match error.get("code"):
        case "context_length_exceeded":
            return ModelError(
                "The conversation no longer fits the model's context window. Compact it or start a new thread.",
                "contextWindowExceeded",
            )
        case "insufficient_quota":
            return ModelError("The quota is used up. Check plan and billing.", "usageLimitExceeded")
        case "usage_not_included":
            return _not_included()
        case "server_is_overloaded" | "slow_down":
            return _overloaded()
        case "invalid_prompt":
            return ModelError(message or "The model refused the request as invalid.")
        case "cyber_policy":
            return ModelError(message or "The model refused the request by its policy.", "cyberPolicy")
        case "rate_limit_exceeded":
            return disconnected(message or "rate limit exceeded", _wait(message))
        case _:
            return disconnected(message or "response.failed event received")


def incomplete(response: object) -> ModelError:
    """The answer ended in `response.incomplete`; `response` is that event's member of this name."""
    reason = mapping(mapping(response).get("incomplete_details")).get("reason")
    why = reason if isinstance(reason, str) else "unknown"
    return disconnected(f"Incomplete response returned, reason: {why}")


def _usage_limit(error: Mapping[str, Any], now: datetime | None) -> ModelError:
    resets = error.get("resets_at")
    advice = "Try again later."
    if isinstance(resets, int) and not isinstance(resets, bool):
        with suppress(OverflowError, OSError, ValueError):  # a time beyond the calendar's range
            advice = f"Try again at {_moment(datetime.fromtimestamp(resets), now or datetime.now())}."
    return ModelError(f"The usage limit of this account is reached. {advice}", "usageLimitExceeded")


def _moment(when: datetime, now: datetime) -> str:
    clock = f"{when.hour % 12 or 12}:{when:%M} {'AM' if when.hour < 12 else 'PM'}"
    return clock if when.date() == now.date() else f"{when:%b} {when.day}, {when.year} {clock}"


def _not_included() -> ModelError:
    return ModelError("The plan of this account does not include this use.", "usageLimitExceeded")


def _overloaded() -> ModelError:
    return ModelError("The selected model is overloaded. Try again later or choose another.", "serverOverloaded")


def _wait(message: str) -> float | None:
    found = re.search(r"try again in\s*(\d+(?:\.\d+)?)\s*(ms|s\b|seconds?)", message, re.IGNORECASE)
    if not found:
        return None
    return float(found[1]) / (1000 if found[2].lower() == "ms" else 1)


def _message_of(error: Mapping[str, Any]) -> str:
    message = error.get("message")
    return message[:_REASON_LIMIT] if isinstance(message, str) else ""


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _error_member(body: bytes) -> Mapping[str, Any]:
    try:
        return mapping(mapping(loads(body)).get("error"))
    except orjson.JSONDecodeError:
        return {}
