"""The body of a request as a stream: a long conversation goes out in pieces, and is never put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import httpx

PIECE = 256 * 1024
"""Bytes of a piece at most."""


class Body(httpx.AsyncByteStream):
    """The bytes of `parts`. It can be sent more than once."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(self._parts)


class _Pieces:
    # no async generator: one that a lost connection leaves suspended would be left to the garbage collector
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
    """The bytes of `parts`, in pieces of at most `PIECE` bytes: short parts joined, long ones cut."""
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
