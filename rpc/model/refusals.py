"""Answers with an HTTP status other than 2xx: what each means, and whether the same request may be sent again.

| status | the request |
| --- | --- |
| 5xx | is sent again, up to `request_max_retries` times in silence, then up to `stream_max_retries` times announced |
| 408, 409, 425; 429 with a time to wait | is sent again up to `stream_max_retries` times |
| 503 `server_is_overloaded` | as 5xx, but without announced retries, unless there is a time to wait |
| all others | fails at once |

The texts, and the values of `codexErrorInfo`, are those of Codex app-server 0.124. As in 0.171, a time to wait is kept to,
and a spent quota is final. Both also repeat what a retry cannot change, such as 401 and 404.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from html import unescape
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from spindle.rpc.lenient import mapping
from spindle.rpc.model.model_errors import WORDS, ModelError, not_included, over_quota, overloaded
from spindle.rpc.model.waits import asked_wait, moment
from spindle.rpc.protocol.values import loads, one_line
from spindle.rpc.urls import shown

TEMPORARY: Final = frozenset((408, 409, 425))
"""Statuses below 500 that a retry may change."""
_TITLE: Final = re.compile(r"<(title|h1)[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_UNSEEN: Final = re.compile(r"<(script|style)\b.*?</\1>", re.IGNORECASE | re.DOTALL)
_HTML_LENGTH: Final = 2048
_PAGE_LENGTH: Final = 200
_PHRASES: Final = {413: "Payload Too Large", 422: "Unprocessable Entity"}
"""Names that differ between versions of Python; as in Codex."""


def no_header(name: str) -> str | None:
    """The headers of an answer without headers."""
    return None


def refused(
    status: int,
    body: bytes,
    url: str,
    now: datetime | None = None,
    *,
    header: Callable[[str], str | None] = no_header,
    login: bool = False,
) -> ModelError:
    """The error for an answer with this status. `url` is shown; `login`: the key is that of the home's OpenAI login.

    Times are worded relative to `now` (default: the clock).
    """
    text = body.decode("utf-8", "replace").strip()[:WORDS]
    error, words = _explained(body, text)
    kind = error.get("type")
    if status == 400 and text and not _is_page(text):
        if "image data you provided does not represent a valid image" in text:
            return ModelError("The last message holds an image that the model cannot read.", "badRequest", status=status)
        return ModelError(text, status=status)
    wait = asked_wait(header, words, now)
    if status == 429:
        if kind == "usage_limit_reached":
            return _usage_limit(error, now, wait)
        if kind == "usage_not_included":
            return not_included(status)
        if "insufficient_quota" in (kind, error.get("code")):
            return over_quota(status)
        exceeded = {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
        said = f": {words}" if words else ""
        message = f"exceeded retry limit, last status: {_named(status)}{said}{_ids(header, 'x-request-id')}"
        return ModelError(message, exceeded, wait is not None, status=status, retry_after=wait)
    again = status >= 500 or status in TEMPORARY
    if status == 500:
        text = "The model's server failed. This is often temporary."
        return ModelError(text, "internalServerError", again, status=status, retry_after=wait)
    if status == 503 and error.get("code") in ("server_is_overloaded", "slow_down"):
        return overloaded(status, wait)
    where = f"url: {url}{_ids(header, 'cf-ray', 'x-request-id')}{_advice(status, url, header)}"
    message = f"unexpected status {_named(status)}: {words or 'no explanation'}, {where}"
    info = "unauthorized" if status == 401 and login else "other"
    return ModelError(message, info, again, status=status, retry_after=wait if again else None)


def no_events(content_type: str, body: bytes, url: str) -> ModelError:
    """The answer was 200, but without an event: another kind of server, or one that does not stream."""
    _, words = _explained(body, body.decode("utf-8", "replace").strip())
    said = f" ({one_line(words, _PAGE_LENGTH)})" if words else ""
    kind = one_line(content_type.partition(";")[0].strip(), 100)
    return ModelError(
        f"the model's provider answered with {kind} and not with an event stream{said}, url: {url}"
        f"{_path_advice(url) or '. Is this the URL of a server with the Responses API?'}",
        status=200,
    )


def _explained(body: bytes, text: str) -> tuple[Mapping[str, Any], str]:
    """The member `error` of a JSON body, and the provider's own words: of JSON its message, of a page its title."""
    if _is_page(text):
        text = text[:_HTML_LENGTH]
        title = _TITLE.search(text)
        return {}, f"a page, “{_plain(title[2])}”" if title else f"a page, “{_plain(_UNSEEN.sub('', text))}”"
    try:
        whole = loads(body)
    except orjson.JSONDecodeError:
        return {}, " ".join(text.split())
    members = mapping(whole)
    error = members.get("error")
    for said in (mapping(error).get("message"), error, members.get("message"), members.get("detail")):
        if isinstance(said, str) and said.strip():
            return mapping(error), " ".join(said[:WORDS].split())
    return mapping(error), " ".join(text.split())


def _is_page(text: str) -> bool:
    return text[:1] == "<"


def _plain(html: str) -> str:
    """What a reader of a page sees, in one line."""
    return one_line(" ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split()), _PAGE_LENGTH)


def _usage_limit(error: Mapping[str, Any], now: datetime | None, wait: float | None) -> ModelError:
    resets = error.get("resets_at")
    advice = "Try again later."
    if isinstance(resets, int) and not isinstance(resets, bool):
        with suppress(OverflowError, OSError, ValueError):  # a time beyond the calendar's range
            advice = f"Try again at {moment(datetime.fromtimestamp(resets), now or datetime.now())}."
    message = f"The usage limit of this account is reached. {advice}"
    return ModelError(message, "usageLimitExceeded", status=429, retry_after=wait)


def _ids(header: Callable[[str], str | None], *names: str) -> str:
    """What the provider's support asks for."""
    words = {"cf-ray": "cf-ray", "x-request-id": "request id"}
    return "".join(f", {words[name]}: {one_line(value, 200)}" for name in names if (value := header(name)))


def _advice(status: int, url: str, header: Callable[[str], str | None]) -> str:
    """What to do, where the status alone says it."""
    if 300 <= status < 400 and (location := header("location")) is not None:
        return f". It redirects to {one_line(shown(location), 500)}, which is not followed: correct the provider's `base_url`"
    if status == 407:
        return ". The proxy wants a user and a password: put them into the URL in `http_proxy` or `https_proxy`"
    return _path_advice(url) if status in (404, 405) else ""


def _path_advice(url: str) -> str:
    bare = urlsplit(url).path == "/responses"
    return ". The provider's `base_url` has no path; most need one, such as /v1" if bare else ""


def _named(status: int) -> str:
    try:
        return f"{status} {_PHRASES.get(status) or HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
