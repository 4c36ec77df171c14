"""The error of each failure."""

from datetime import datetime
from typing import Any

import orjson
import pytest

from spindle.rpc.model.model_errors import ModelError, disconnected, failed, incomplete, refused

URL = "http://host/v1/responses"


def refusal(status: int, error: dict[str, Any]) -> ModelError:
    return refused(status, orjson.dumps({"error": error}), URL)


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found"), (409, "Conflict"), (502, "Bad Gateway")],
)
def test_an_unknown_status_is_named(status: int, phrase: str) -> None:
    error = refusal(status, {"message": "sorry"})
    assert error.message == f"unexpected status {status} {phrase}: sorry, url: {URL}"
    assert error.info == "other"
    assert error.retryable
    assert error.details is None
    assert error.retry_info == {"responseStreamDisconnected": {"httpStatusCode": status}}


def test_a_body_that_is_not_json_is_shown_unchanged() -> None:
    assert "502 Bad Gateway: <html>down</html>, url" in refused(502, b"<html>down</html>\n", URL).message
    assert "599: " in refused(599, b"\xff", URL).message


def test_a_bad_request_is_final_and_shows_the_body() -> None:
    error = refused(400, b'{"error": {"message": "bad"}}', URL)
    assert (error.message, error.info, error.retryable) == ('{"error": {"message": "bad"}}', "other", False)
    image = refusal(400, {"message": "The image data you provided does not represent a valid image. Sorry."})
    assert (image.info, image.retryable) == ("badRequest", False)


def test_an_internal_server_error_is_retryable() -> None:
    error = refusal(500, {"message": "boom"})
    assert error.info == "internalServerError"
    assert error.retryable
    assert "boom" not in error.message
    assert error.retry_info == {"responseStreamDisconnected": {"httpStatusCode": None}}


@pytest.mark.parametrize(("code", "info"), [("server_is_overloaded", "serverOverloaded"), ("x", "other")])
def test_an_overloaded_server_is_recognised_by_its_code(code: str, info: str) -> None:
    error = refusal(503, {"code": code, "message": "m"})
    assert error.info == info
    assert error.retryable is (info == "other")


def test_too_many_requests_is_not_retryable() -> None:
    error = refusal(429, {"message": "slow"})
    assert error.info == {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
    assert not error.retryable
    assert error.message == "exceeded retry limit, last status: 429 Too Many Requests"


@pytest.mark.parametrize("kind", ["usage_limit_reached", "usage_not_included"])
def test_limits_of_the_account_are_final(kind: str) -> None:
    error = refusal(429, {"type": kind})
    assert error.info == "usageLimitExceeded"
    assert not error.retryable


def test_a_usage_limit_says_when_it_ends() -> None:
    reset = datetime(2033, 5, 18, 15, 4)
    body = orjson.dumps({"error": {"type": "usage_limit_reached", "resets_at": int(reset.timestamp())}})
    assert refused(429, body, URL, datetime(2033, 5, 17)).message.endswith("Try again at May 18, 2033 3:04 PM.")
    assert refused(429, body, URL, datetime(2033, 5, 18)).message.endswith("Try again at 3:04 PM.")
    absurd = orjson.dumps({"error": {"type": "usage_limit_reached", "resets_at": 2**62}})
    assert refused(429, absurd, URL).message.endswith("Try again later.")


@pytest.mark.parametrize(
    ("code", "info", "retryable"),
    [
        ("context_length_exceeded", "contextWindowExceeded", False),
        ("insufficient_quota", "usageLimitExceeded", False),
        ("usage_not_included", "usageLimitExceeded", False),
        ("server_is_overloaded", "serverOverloaded", False),
        ("slow_down", "serverOverloaded", False),
        ("invalid_prompt", "other", False),
        ("cyber_policy", "cyberPolicy", False),
        ("rate_limit_exceeded", "other", True),
        ("server_error", "other", True),
        (None, "other", True),
    ],
)
def test_the_code_of_a_failed_response_decides(code: str | None, info: str, retryable: bool) -> None:
    error = failed({"error": {"code": code, "message": "sorry"}})
    assert (error.info, error.retryable) == (info, retryable)


@pytest.mark.parametrize("response", [None, {}, {"error": None}, {"error": "x"}, 5])
def test_a_failed_response_without_an_explanation_is_still_a_failure(response: object) -> None:
    assert failed(response).message == "stream disconnected before completion: response.failed event received"


@pytest.mark.parametrize(
    ("message", "seconds"),
    [("Please try again in 1.5s.", 1.5), ("try again in 250ms", 0.25), ("Try again in 3 seconds", 3.0), ("no", None)],
)
def test_a_rate_limit_says_how_long_to_wait(message: str, seconds: float | None) -> None:
    assert failed({"error": {"code": "rate_limit_exceeded", "message": message}}).retry_after == seconds


def test_an_incomplete_response_says_its_reason() -> None:
    assert incomplete({"incomplete_details": {"reason": "max_output_tokens"}}).message.endswith("max_output_tokens")
    assert incomplete(None).message.endswith("reason: unknown")
    assert disconnected("x").retryable
