"""The body of a request: its JSON in parts, and these as a stream.

A long conversation is sent in pieces and is never in memory as one.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence

import orjson

from spindle.rpc.large import LARGE
from spindle.rpc.model.interface import ModelRequest

PIECE = 256 * 1024
"""The most bytes of a piece."""


class RequestBody(AsyncIterable[bytes]):
    """The bytes of `parts`. The body can be sent again, for a retry."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(self._parts)


class _Pieces:
    # not an async generator: a lost connection would leave it suspended, to be closed by the garbage collector
    def __init__(self, parts: Sequence[bytes]) -> None:
        self._pieces = pieces(parts)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            raise StopAsyncIteration
        return piece


def pieces(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Join short parts and cut long ones into pieces of at most `PIECE` bytes."""
    batch: list[bytes] = []
    size = 0
    for part in parts:
        if batch and size + len(part) > PIECE:
            yield b"".join(batch)
            batch, size = [], 0
        if len(part) > PIECE:
            yield from (part[at : at + PIECE] for at in range(0, len(part), PIECE))
        else:
            batch.append(part)
            size += len(part)
    if batch:
        yield b"".join(batch)


def encode_body(request: ModelRequest) -> list[bytes]:
    """The JSON body of the POST, in parts. The items of `input` are inserted without decoding them."""
    body: dict[str, object] = {
        "model": request.model,
        "instructions": request.instructions,
        "input": (),
        "tools": request.tools,
        "tool_choice": "auto",
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning": request.reasoning,
        "store": False,
        "stream": True,
        "include": request.include,
        "prompt_cache_key": request.prompt_cache_key,
    }
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if request.text is not None:
        body["text"] = request.text
    body["client_metadata"] = request.client_metadata
    # no string can contain this placeholder (its quotes would be escaped), and only strings precede it
    head, place, tail = orjson.dumps(body, default=_plain).partition(_INPUT)
    return [head + place[:-1], *_listed(request.input), b"]" + tail]


def _listed(items: Sequence[bytes]) -> list[bytes]:
    """`items` separated by commas, as parts. Few short items are joined to few parts."""
    if len(items) > _MANY:
        parts = [b","] * (2 * len(items) - 1)
        parts[::2] = items
        return parts
    parts = list[bytes]()
    for at in range(0, len(items), _GROUP):
        group = items[at : at + _GROUP]
        if at:
            parts.append(b",")
        if sum(map(len, group)) <= LARGE:
            parts.append(b",".join(group))
            continue
        for item in group:
            parts += (item, b",")
        del parts[-1]
    return parts


_INPUT = b'"input":[]'
_GROUP = 128
_MANY = 8192  # this many are joined piece by piece, while they are sent


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): member for name, member in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, Sequence):
        return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError(f"not JSON: {type(value).__name__}")
