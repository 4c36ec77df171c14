"""Messages that may be very large, such as a thread with all its turns: encoded in pieces while they are sent."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import orjson
import trio
from attrs import evolve, frozen

from spindle.rpc.large import LARGE
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.envelope import RequestId, encode_error, encode_notification, encode_result
from spindle.rpc.protocol.errors import RpcError, internal_error
from spindle.rpc.protocol.values import clean
from spindle.storage.rollout.source import RolloutChanged

if TYPE_CHECKING:
    from spindle.actors.delivery.snapshot import Body, Snapshot

log = logging.getLogger("spindle")

PIECE = 256 * 1024
"""About how many bytes a piece has. A turn is never divided."""

_PLACE = b'"turns":[]'


@frozen(eq=False)
class Streamed:
    """An answer with a thread in it. The thread's turns are empty in `result` and come from the snapshot."""

    result: Any
    turns: Snapshot

    def map(self, change: Callable[[Any], Any]) -> Streamed:
        """The same turns in another answer."""
        return evolve(self, result=change(self.result))


def cut(message: bytes) -> Iterator[bytes]:
    """The message in pieces that end between two characters."""
    at = 0
    while at < len(message):
        end = min(at + PIECE, len(message))
        while end < len(message) and message[end] & 0xC0 == 0x80:
            end += 1
        yield message[at:end]
        at = end


class LargeAnswer:
    """A large answer, encoded only when it is sent."""

    weight = 16 * LARGE
    """About how many bytes it takes. A guess: only that there are many is known."""

    def __init__(self, id: RequestId, result: object) -> None:
        self._id, self._result = id, result

    def encode(self) -> bytes:
        """The whole JSON-RPC message; an error if the result cannot be encoded."""
        try:
            return encode_result(self._id, self._result)
        except Exception as error:
            log.error("an answer cannot be encoded", exc_info=error)
            return encode_error(self._id, internal_error(f"the answer cannot be encoded: {error}"))


class LongMessage:
    """A message that is encoded while it is sent: `make` puts pieces into a channel, `pieces` takes them out.

    Before that it holds no open file. If its turns cannot be read when it is about to be sent, it becomes an error.
    """

    def __init__(self, turns: Snapshot, encoded: bytes, unreadable: Callable[[Exception], bytes]) -> None:
        """`encoded` is the message without turns."""
        self._turns, self._unreadable = turns, unreadable
        # no text contains it, because quotes are escaped there, and no member before a thread's turns has this name
        self._head, _, self._tail = encoded.partition(_PLACE)
        self._error: Exception | None = None
        self.weight = len(self._head) + len(self._tail) + turns.weight
        """About how many bytes it takes until it is sent."""

    @classmethod
    def answer(cls, id: RequestId, answer: Streamed) -> Self:
        """The answer to a request; an error if the turns cannot be read."""
        try:
            encoded = encode_result(id, answer.result)
        except BaseException:
            answer.turns.close()
            raise
        return cls(answer.turns, encoded, lambda error: encode_error(id, unreadable(error)))

    @classmethod
    def notification(cls, params: Any, turns: Snapshot) -> Self:
        """A notification with a thread in it. It is sent without turns if they cannot be read."""
        encoded = encode_notification(params.METHOD, params)
        return cls(turns, encoded, lambda _: encoded)

    async def make(self, out: trio.MemorySendChannel[bytes]) -> None:
        """Encode it, one piece ahead of the sender. `pieces` raises what fails after the first piece."""
        async with out:
            begun = False
            try:
                bodies = self._turns.read(range(len(self._turns.ids)))
                piece, more = await trio.to_thread.run_sync(_next_piece, bodies, self._head + _PLACE[:-1], b"")
                while more:
                    begun = True
                    await out.send(piece)
                    piece, more = await trio.to_thread.run_sync(_next_piece, bodies, b"", b",")
                begun = True
                await out.send(piece + b"]" + self._tail)
            except Exception as error:
                if not isinstance(error, OSError | RolloutChanged):
                    log.error("the turns of an answer cannot be read", exc_info=error)
                if begun:  # the sender must know that the message stays incomplete
                    self._error = error
                else:
                    await out.send(self._unreadable(error))

    async def pieces(self, made: trio.MemoryReceiveChannel[bytes]) -> AsyncGenerator[bytes]:
        """The pieces in order. Raises what `make` failed with: OSError, RolloutChanged."""
        async with made:
            async for piece in made:
                yield piece
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Free the turns in memory. They are read from the file again when the message is sent."""
        self._turns.close()


def unreadable(error: Exception) -> RpcError:
    """The error for a request for turns that cannot be read."""
    return internal_error(f"failed to read the thread's history: {error}")


def _next_piece(bodies: Iterator[Body], head: bytes, separator: bytes) -> tuple[bytes, bool]:
    """The next turns, encoded, and whether there may be more."""
    parts, size = [head], 0
    for body in bodies:
        encoded = _encoded(body)
        parts += (separator, encoded)
        separator = b","
        size += len(encoded)
        if size >= PIECE:
            return b"".join(parts), True
    return b"".join(parts), False


def _encoded(body: Body) -> bytes:
    """A turn as JSON. One that cannot be encoded becomes a failed turn without items whose error says so."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        from spindle.rpc.protocol.turns import Turn, TurnError

        id, why = clean(body["id"]), f"the turn cannot be encoded: {error}"
        log.error("turn %s: %s", id, why)
        return encode(Turn(id, items_view="notLoaded", status="failed", error=TurnError(why, "other")))
