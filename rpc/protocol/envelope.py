"""The four kinds of message, and how each is read from and written to one line of JSON.

The protocol is JSON-RPC 2.0 without the `jsonrpc` member; one that is there is ignored.
"""

from typing import TypeAlias, cast

import orjson
from attrs import frozen

from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.errors import RpcError

RequestId: TypeAlias = str | int
"""Chosen by whoever asks, echoed with its type by whoever answers; integers are int64."""

_INT64 = 2**63


@frozen
class Request:
    """A question; exactly one answer with the same id follows. `params` is None when `has_params` is False."""

    id: RequestId
    method: str
    params: object = None
    has_params: bool = False


@frozen
class Notification:
    """Something the other side is told; never answered."""

    method: str
    params: object = None


@frozen
class Response:
    """The answer to a request that succeeded."""

    id: RequestId
    result: object


@frozen
class ErrorResponse:
    """The answer to a request that failed; `error` has `code` and `message`, and perhaps `data`."""

    id: RequestId
    error: dict[str, object]


Message: TypeAlias = Request | Notification | Response | ErrorResponse


def parse(line: bytes) -> Message | None:
    """Read one message. None if the line holds none: not JSON, not UTF-8, a batch, no method, an impossible id."""
    try:
        decoded: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
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
        return Request(cast(RequestId, id), method, message.get("params"), "params" in message)
    if id is None:
        return None
    if "result" in message:
        return Response(cast(RequestId, id), message["result"])
    error = message.get("error")
    if isinstance(error, dict):
        return ErrorResponse(cast(RequestId, id), cast(dict[str, object], error))
    return None


def _is_request_id(id: object) -> bool:
    return isinstance(id, str) or (type(id) is int and -_INT64 <= id < _INT64)


def encode_request(id: RequestId, method: str, params: object) -> bytes:
    """Write a request, without a newline. `params` is an attrs object, JSON values or an `orjson.Fragment`."""
    return encode({"id": id, "method": method, "params": params})


def encode_notification(method: str, params: object) -> bytes:
    """Write a notification, without a newline; without `params` if None."""
    if params is None:
        return encode({"method": method})
    return encode({"method": method, "params": params})


def encode_result(id: RequestId, result: object) -> bytes:
    """Write the answer to a request that succeeded, without a newline."""
    return encode({"id": id, "result": result})


def encode_error(id: RequestId, error: RpcError) -> bytes:
    """Write the answer to a request that failed, without a newline."""
    return encode({"id": id, "error": error.body()})
