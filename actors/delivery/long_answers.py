"""Messages that are too large to be made at once: a thread with all its turns. Made in pieces while they are written."""

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
"""Bytes of a piece, about; a turn is never divided."""

_PLACE = b'"turns":[]'


@frozen(eq=False)
class Streamed:
    """An answer with a thread in it whose turns, empty there, are those of the snapshot."""

    result: Any
    turns: Snapshot

    def map(self, change: Callable[[Any], Any]) -> Streamed:
        """The same turns in another answer."""
        return evolve(self, result=change(self.result))


def cut(message: bytes) -> Iterator[bytes]:
    """A message in pieces that divide no character."""
    at = 0
    while at < len(message):
        end = min(at + PIECE, len(message))
        while end < len(message) and message[end] & 0xC0 == 0x80:
            end += 1
        yield message[at:end]
        at = end


class LargeAnswer:
    """An answer that is encoded when it is sent."""

    weight = 16 * LARGE
    """About the bytes it takes; only that there are many is known."""

    def __init__(self, id: RequestId, result: object) -> None:
        self._id, self._result = id, result

    def encode(self) -> bytes:
        """The whole JSON-RPC message; an error where the result cannot be encoded."""
        try:
            return encode_result(self._id, self._result)
        except Exception as error:
            log.error("an answer cannot be encoded", exc_info=error)
            return encode_error(self._id, internal_error(f"the answer cannot be encoded: {error}"))


class LongMessage:
    """A message that is encoded while it is sent: `make` and `pieces` are the two ends of a channel of pieces.

    Until then it holds no file. Turns that cannot be read when it begins to be sent make it the error that says so.
    """

    def __init__(self, turns: Snapshot, encoded: bytes, unreadable: Callable[[Exception], bytes]) -> None:
        """`encoded` is the message without turns."""
        self._turns, self._unreadable = turns, unreadable
        # no text can contain it (quotes are escaped there), and what comes before the turns of a thread holds none
        self._head, _, self._tail = encoded.partition(_PLACE)
        self._error: Exception | None = None
        self.weight = len(self._head) + len(self._tail) + turns.weight
        """About the bytes it takes until it is sent."""

    @classmethod
    def answer(cls, id: RequestId, answer: Streamed) -> Self:
        """To a request; an error where the turns cannot be read."""
        try:
            encoded = encode_result(id, answer.result)
        except BaseException:
            answer.turns.close()
            raise
        return cls(answer.turns, encoded, lambda error: encode_error(id, unreadable(error)))

    @classmethod
    def notification(cls, params: Any, turns: Snapshot) -> Self:
        """`params` is one with a thread in it; it goes out without turns where they cannot be read."""
        encoded = encode_notification(params.METHOD, params)
        return cls(turns, encoded, lambda _: encoded)

    async def make(self, out: trio.MemorySendChannel[bytes]) -> None:
        """Encode it, a piece ahead of who sends; what goes wrong comes out of `pieces`."""
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
                if begun:  # whoever sends it has to know that there is no more
                    self._error = error
                else:
                    await out.send(self._unreadable(error))

    async def pieces(self, made: trio.MemoryReceiveChannel[bytes]) -> AsyncGenerator[bytes]:
        """The message, in order. Raises what `make` failed with: OSError, RolloutChanged."""
        async with made:
            async for piece in made:
                yield piece
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Let go of what is at hand to make it from; it is made from the file all the same."""
        self._turns.close()


def unreadable(error: Exception) -> RpcError:
    """What a request for turns is answered with when they cannot be read."""
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
    """A turn; one that cannot be encoded is replaced by one without items whose error says so, as others are to be shown."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        from spindle.rpc.protocol.turns import Turn, TurnError

        id, why = clean(body["id"]), f"the turn cannot be shown: {error}"
        log.error("turn %s: %s", id, why)
        return encode(Turn(id, items_view="notLoaded", status="failed", error=TurnError(why, "other")))
