"""The error of each failure."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from spindle.rpc.model.model_errors import ModelError, disconnected, failed, incomplete
from spindle.rpc.model.refusals import refused

URL = "http://host/v1/responses"


def refusal(status: int, error: dict[str, Any]) -> ModelError:
    return refused(status, orjson.dumps({"error": error}), URL)


@pytest.mark.parametrize(
    ("status", "phrase", "again"),
    [
        (307, "Temporary Redirect", False),
        (401, "Unauthorized", False),
        (402, "Payment Required", False),
        (403, "Forbidden", False),
        (404, "Not Found", False),
        (405, "Method Not Allowed", False),
        (408, "Request Timeout", True),
        (409, "Conflict", True),
        (413, "Payload Too Large", False),
        (422, "Unprocessable Entity", False),
        (425, "Too Early", True),
        (502, "Bad Gateway", True),
        (504, "Gateway Timeout", True),
    ],
)
def test_only_what_a_retry_may_change_is_retryable(status: int, phrase: str, again: bool) -> None:
    error = refusal(status, {"message": "sorry"})
    assert error.message == f"unexpected status {status} {phrase}: sorry, url: {URL}"
    assert (error.info, error.status, error.details) == ("other", status, None)
    assert error.retryable is again
    assert error.retry_info == {"responseStreamDisconnected": {"httpStatusCode": status}}


def test_a_refused_login_is_unauthorized() -> None:
    assert refused(401, b"no", URL, login=True).info == "unauthorized"
    assert refused(403, b"no", URL, login=True).info == "other"


PAGE = b"<!DOCTYPE html>\n<html><head><title>\n 502 Bad\n <b>Gateway</b> &amp; more</title></head><body>down</body></html>"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PAGE, "a page, \u201c502 Bad Gateway & more\u201d"),
        (b"<html><body><h1>nginx</h1></body>", "a page, \u201cnginx\u201d"),
        (b"<html><style>a > b</style>down <b>again</b></html>", "a page, \u201cdown again\u201d"),
        (b"<html>" + b"ha " * 500, "a page, \u201c" + "ha " * 66 + "ha\u2026\u201d"),
        (b'{"error": "model `x` not found"}', "model `x` not found"),
        (b'{"object": "error", "message": "no such model"}', "no such model"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"error": {"message": "two\\nlines"}}', "two lines"),
        (b'{"detail":\n [{"msg": "field required"}]}', '{"detail": [{"msg": "field required"}]}'),
        (b"upstream\nis down\n", "upstream is down"),
        (b"", "no explanation"),
    ],
)
def test_the_providers_words_are_found(body: bytes, words: str) -> None:
    assert refused(502, body, URL).message == f"unexpected status 502 Bad Gateway: {words}, url: {URL}"
    assert "599: " in refused(599, b"\xff", URL).message


def test_the_ids_for_the_providers_support_are_named() -> None:
    ids = {"cf-ray": "ray_2", "x-request-id": "req_1"}
    assert refused(404, b"no", URL, header=ids.get).message.endswith(f"no, url: {URL}, cf-ray: ray_2, request id: req_1")
    assert refused(429, b"no", URL, header=ids.get).message.endswith("429 Too Many Requests: no, request id: req_1")


def test_a_status_that_says_what_to_do() -> None:
    assert "`base_url` has no path" in refused(404, b"no", "http://host/responses").message
    assert "`base_url`" not in refused(404, b"no", URL).message
    assert "put them into the URL in `http_proxy`" in refused(407, b"no", URL).message
    moved = {"location": "https://ann:pw@elsewhere/v1?key=secret"}
    assert "It redirects to https://elsewhere/v1?key=\u2026, which is" in refused(301, b"", URL, header=moved.get).message


def test_a_bad_request_is_final_and_shows_the_body() -> None:
    error = refused(400, b'{"error": {"message": "bad"}}', URL)
    assert (error.message, error.info, error.retryable) == ('{"error": {"message": "bad"}}', "other", False)
    page = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title>"
    assert refused(400, page, URL).message == (
        f"unexpected status 400 Bad Request: a page, \u201c400 The plain HTTP request was sent to HTTPS port\u201d, url: {URL}"
    )
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
    assert refused(503, b'{"error": {"code": "server_is_overloaded"}}', URL, header={"retry-after": "9"}.get).retryable


def test_too_many_requests_are_retryable_only_if_there_is_a_time_to_wait() -> None:
    error = refusal(429, {"message": "slow"})
    assert error.info == {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
    assert (error.retryable, error.status, error.retry_after) == (False, 429, None)
    assert error.message == "exceeded retry limit, last status: 429 Too Many Requests: slow"
    assert refused(429, b"", URL).message == "exceeded retry limit, last status: 429 Too Many Requests"
    waiting = refusal(429, {"message": "Rate limit reached. Please try again in 1.2s."})
    assert (waiting.retryable, waiting.retry_after) == (True, 1.2)
    assert waiting.info == error.info
    assert waiting.retry_info == {"responseStreamDisconnected": {"httpStatusCode": 429}}


WAITS: list[tuple[dict[str, str], float | None]] = [
    ({"retry-after": "2"}, 2.0),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after-ms": "1500", "retry-after": "3"}, 1.5),
    ({"retry-after": "Wed, 18 May 2033 15:04:30 GMT"}, 30.0),
    ({"retry-after": "Wed, 18 May 2033 15:04:30 GMT", "date": "Wed, 18 May 2033 15:04:20 GMT"}, 10.0),
    ({"retry-after": "Wed, 18 May 2033 15:00:00 GMT"}, 0.0),
    *(({"retry-after": value}, None) for value in ("", "soon", "-1", "nan", "inf", "1e999", "Wed, 99 May 2033 15:04:30 GMT")),
]


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
@pytest.mark.parametrize(("headers", "seconds"), WAITS)
def test_a_header_says_how_long_to_wait(status: int, headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2033, 5, 18, 15, 4, tzinfo=UTC)
    assert refused(status, b"no", URL, now, header=headers.get).retry_after == seconds


def test_a_wait_changes_nothing_where_it_cannot_help() -> None:
    for status in (400, 401, 404, 413):
        error = refused(status, b"no", URL, header={"retry-after": "1"}.get)
        assert (error.retryable, error.retry_after) == (False, None)


def test_a_spent_quota_is_final() -> None:
    error = refused(429, b'{"error": {"code": "insufficient_quota"}}', URL, header={"retry-after": "1"}.get)
    assert (error.info, error.retryable) == ("usageLimitExceeded", False)


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
    [("Please try again in 1.5s.", 1.5), ("try again in 250ms", 0.25), ("Try again in 3 seconds", 3.0), ("no", None),
     ("try again in 6m0s", 360.0), ("Please try again in 1h2m3.5s.", 3723.5), ("Please retry after 20 seconds.", 20.0),
     ("try again in 5 bananas", None), ("try again in 1 day", 86400.0)],
)
def test_a_rate_limit_says_how_long_to_wait(message: str, seconds: float | None) -> None:
    assert failed({"error": {"code": "rate_limit_exceeded", "message": message}}).retry_after == seconds


def test_an_incomplete_response_says_its_reason() -> None:
    assert incomplete({"incomplete_details": {"reason": "max_output_tokens"}}).message.endswith("max_output_tokens")
    assert incomplete(None).message.endswith("reason: unknown")
    assert disconnected("x").retryable
