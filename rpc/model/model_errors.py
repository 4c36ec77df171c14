"""The errors of model requests, in the form that clients see. Those of an HTTP status are in `refusals`.

`info` has a value of the protocol's `CodexErrorInfo`. The mapping of failures to values, and the texts with a status or
with the provider's own words, are those of Codex app-server 0.124.
"""

from collections.abc import Mapping
from typing import Any

from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.errors import Error
from spindle.rpc.protocol.values import readable

_MESSAGE_LIMIT = 20_000
WORDS = 16_384
"""The most characters of a provider's own words."""


class ModelError(Error):
    """A request that failed.

    `message` and `info` (JSON) are shown in the turn's error, `details` in its additional details (usually None).
    `retryable`: the same request may be sent again. A retry is announced with `retry_info`, and with `message` as its
    additional details. `status` is the HTTP status of the failure, None if there is none. `retry_after` is the wait in
    seconds that the provider asked for; also set where the request is not sent again.

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
        """The `codexErrorInfo` of the retry's announcement. A failure that has a value of its own has no status there."""
        own = self.info in ("internalServerError", "serverOverloaded")
        return {"responseStreamDisconnected": {"httpStatusCode": None if own else self.status}}


def disconnected(reason: str, retry_after: float | None = None) -> ModelError:
    """The answer broke off or never began."""
    message = f"stream disconnected before completion: {reason}"
    return ModelError(message, retryable=True, retry_after=retry_after)


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
            return over_quota()
        case "usage_not_included":
            return not_included()
        case "server_is_overloaded" | "slow_down":
            return overloaded()
        case "invalid_prompt":
            return ModelError(message or "The model refused the request as invalid.")
        case "cyber_policy":
            return ModelError(message or "The model refused the request by its policy.", "cyberPolicy")
        case "rate_limit_exceeded":
            from spindle.rpc.model.waits import wait_in

            return disconnected(message or "rate limit exceeded", wait_in(message))
        case _:
            return disconnected(message or "response.failed event received")


def incomplete(response: object) -> ModelError:
    """The answer ended in `response.incomplete`; `response` is that event's member of this name."""
    reason = mapping(mapping(response).get("incomplete_details")).get("reason")
    why = reason if isinstance(reason, str) else "unknown"
    return disconnected(f"Incomplete response returned, reason: {why}")


def not_included(status: int | None = None) -> ModelError:
    """The account may not do this."""
    return ModelError("The plan of this account does not include this use.", "usageLimitExceeded", status=status)


def over_quota(status: int | None = None) -> ModelError:
    """The account has no money or no budget left."""
    return ModelError("The quota is used up. Check plan and billing.", "usageLimitExceeded", status=status)


def overloaded(status: int | None = None, retry_after: float | None = None) -> ModelError:
    """The provider has no capacity. Final, unless it says how long to wait."""
    message = "The selected model is overloaded. Try again later or choose another."
    return ModelError(message, "serverOverloaded", retry_after is not None, status=status, retry_after=retry_after)


def _message_of(error: Mapping[str, Any]) -> str:
    message = error.get("message")
    return message[:WORDS] if isinstance(message, str) else ""
