"""The four kinds of message; each is decoded from and encoded to one line of JSON.

The protocol is JSON-RPC 2.0 without the member `jsonrpc`, which is ignored where present.
"""

import re
from typing import Final, TypeAlias, cast

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.values import clean, loads

RequestId: TypeAlias = str | int
"""The caller chooses the id; the answer repeats it with its type. Integers are int64."""

_INT64 = 2**63


@frozen
class Request:
    """A request; exactly one answer with the same id follows. `params` is None when `has_params` is False.

    `trace` is the client's W3C trace context as it sent it: an object with `traceparent` and `tracestate`.
    """

    id: RequestId
    method: str
    params: object = None
    has_params: bool = False
    trace: object = None


@frozen
class Notification:
    """A notification; it has no answer."""

    method: str
    params: object = None


@frozen
class Response:
    """The answer to a successful request."""

    id: RequestId
    result: object


@frozen
class ErrorResponse:
    """The answer to a failed request; `error` has `code` and `message`, and may have `data`."""

    id: RequestId
    error: dict[str, object]


@frozen
class Malformed:
    """A request of which only the id can be decoded."""

    id: RequestId
    reason: str


Message: TypeAlias = Request | Notification | Response | ErrorResponse | Malformed


def parse(line: bytes | bytearray) -> Message | None:
    """Decode one message. None if the line is not a message: not JSON, a batch, no method, an invalid id.

    A message that cannot be decoded but has an id becomes a request to refuse, or the answer to a failed request.
    """
    try:
        decoded: object = loads(line)
    except orjson.JSONDecodeError as fault:
        return _unreadable(bytes(line), str(fault))
    if not isinstance(decoded, dict):
        return None
    message = cast(dict[str, object], decoded)
    id = message.get("id")
    if id is not None and not _is_request_id(id):
        return None
    method = message.get("method")
    if isinstance(method, str):
        if id is None:
            return Notification(method, message.get("params"))
        return Request(cast(RequestId, id), method, message.get("params"), "params" in message, message.get("trace"))
    if id is None:
        return None
    if "result" in message:
        return Response(cast(RequestId, id), message["result"])
    if "error" in message:
        error = message["error"]
        return ErrorResponse(cast(RequestId, id), cast(dict[str, object], error) if isinstance(error, dict) else {})
    return None


_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)
_MOST_TOKENS: Final = 100_000
"""Bytes of an undecodable message that are searched for its id; the search takes some 10 ms."""


def _unreadable(line: bytes, why: str) -> Message | None:
    """The request or answer in a line that is not JSON, as far as its id is found. `why` is the fault of the line."""
    members = _outer_members(line)
    id = members.get(b'"id"')
    if id is None or not _is_request_id(id):
        return None
    if b'"method"' in members:
        return Malformed(cast(RequestId, id), why)
    if b'"result"' in members or b'"error"' in members:
        return ErrorResponse(cast(RequestId, id), {"message": f"the answer cannot be read: {why}"})
    return None


def _outer_members(line: bytes) -> dict[bytes, object]:
    """The members of a damaged message by their quoted names, simple ones with their value, as far as they can be found."""
    members: dict[bytes, object] = {}
    level, name, last = 0, b"", b""
    for count, match in enumerate(_TOKEN.finditer(line)):
        token = match[0]
        if count > _MOST_TOKENS or (count == 0 and token != b"{"):
            break
        if token in b"{[":
            level += 1
        elif token in b"}]":
            level -= 1
            if level == 0:
                # a message with trailing data is not a message, as in the reference server
                return {} if line[match.end() :].strip() else members
        elif level != 1:
            continue
        elif token == b":":
            name = last
            members.setdefault(name, None)
        elif token != b"," and name == b'"id"':
            try:
                members[name] = orjson.loads(token)
            except orjson.JSONDecodeError:
                break
        name = b"" if token == b"," else name
        last = token
    return members


def _is_request_id(id: object) -> bool:
    return isinstance(id, str) or (type(id) is int and -_INT64 <= id < _INT64)


def encode_request(id: RequestId, method: str, params: object) -> bytes:
    """Encode a request, without a newline. `params` is an attrs object, JSON values or an `orjson.Fragment`."""
    return encode({"id": id, "method": method, "params": params})


def encode_notification(method: str, params: object) -> bytes:
    """Encode a notification, without a newline; without `params` if None."""
    if params is None:
        return encode({"method": method})
    return encode({"method": method, "params": params})


def encode_result(id: RequestId, result: object) -> bytes:
    """Encode the answer to a successful request, without a newline."""
    return encode({"id": id, "result": result})


def encode_error(id: RequestId, error: RpcError) -> bytes:
    """Encode the answer to a failed request, without a newline; this always succeeds.

    If the error cannot be encoded, invalid UTF-8 is replaced and the data omitted.
    """
    try:
        return encode({"id": id, "error": error.body()})
    except Exception:  # the data of an error may be any object
        return encode({"id": id, "error": RpcError(error.code, clean(error.message)).body()})
