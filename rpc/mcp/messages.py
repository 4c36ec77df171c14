"""Decode a server's messages within bounds."""

from __future__ import annotations

import re
from typing import Any, Final, cast

import orjson

from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.values import DEPTH, TOO_DEEP, VALUES, crowded, loads, one_line

MESSAGE_BYTES: Final = 32 << 20
"""The longest message, in bytes: an image of 20 MB fits."""
ID_CHARACTERS: Final = 1024
FAILED: Final = -32000

_SHOWN: Final = 300
_AROUND: Final = 256
_ANSWERS: Final = re.compile(rb'"id"\s*:\s*(\d{1,18})\s*[,}]')


class NoMessage(Exception):
    """The data is not a message; `str()` says why, on one line. `answers` is the id of the request that it seems to answer."""

    def __init__(self, reason: str, answers: int | None = None) -> None:
        super().__init__(reason)
        self.answers = answers


def decoded(payload: bytes | bytearray) -> Json:
    """The message in `payload`. Raises NoMessage."""
    if crowded(payload):
        raise NoMessage(f"a message of more than {VALUES} objects, arrays and texts", _answers(payload))
    try:
        message: Any = loads(payload)
    except orjson.JSONDecodeError as error:
        deep = error.msg == TOO_DEEP
        problem = f"a message with more than {DEPTH} levels" if deep else f"this is not a message: {_start(payload)}"
        raise NoMessage(problem, _answers(payload)) from error
    if not isinstance(message, dict):
        raise NoMessage(f"this is not a message: {_start(payload)}")
    return cast("Json", message)


def failure(number: object, reason: str) -> Json:
    """An error answer to request `number`, in the place of an unusable answer."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": FAILED, "message": reason}}


def is_id(value: object) -> bool:
    """Whether the value can be the id of a request from the server."""
    return type(value) is int or (isinstance(value, str) and len(value) <= ID_CHARACTERS)


def _start(payload: bytes | bytearray) -> str:
    return one_line(bytes(payload[:_SHOWN]).decode("utf-8", "replace"), _SHOWN)


def _answers(payload: bytes | bytearray) -> int | None:
    """The id in an answer that cannot be decoded; None for a request, and for data that is not a message."""
    ends = bytes(payload[:_AROUND]) + b"\n" + bytes(payload[-_AROUND:])
    if not payload.startswith(b"{") or b'"jsonrpc"' not in ends or b'"method"' in ends:
        return None
    found = _ANSWERS.search(ends)
    return None if found is None else int(found[1])
