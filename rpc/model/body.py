"""A request body as a stream: a long conversation is sent in pieces and is never in memory as one."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence

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
