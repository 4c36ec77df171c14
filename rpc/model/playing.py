"""Plays an answer piece by piece, with the events that a provider would send. Models without a network share it.

A piece is text (`Say`), thoughts (`Think`), a response item, events as they are (`Raw`), a time (`Pause`), an event that is
waited for, an error that is raised, or the usage of the answer. Text that is said in several pieces is one message until an
item or the end comes; an error leaves the message unfinished.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import orjson
import trio

from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.interface import (
    Completed,
    Created,
    ItemAdded,
    ItemDone,
    ModelEvent,
    ModelRequest,
    SummaryDelta,
    SummaryPartAdded,
    TextDelta,
    Usage,
)
from spindle.rpc.model.model_errors import disconnected

_BYTES_PER_TOKEN = 4


@frozen
class Say:
    """Text of the assistant's message, streamed in `chunks`, with `pace` seconds before each."""

    chunks: Sequence[str]
    pace: float = 0.0


@frozen
class Think:
    """A summary of thoughts."""

    text: str


@frozen
class Raw:
    """Events as they are. An answer with such a piece has no others, and is only complete with a `Completed` of its own."""

    events: Sequence[ModelEvent]


@frozen
class Pause:
    """Time that passes, in seconds."""

    seconds: float


Piece: TypeAlias = Say | Think | Raw | Pause | trio.Event | Exception | Usage | dict[str, Any]
"""A dict is a whole response item."""
Batches: TypeAlias = AsyncGenerator[Sequence[ModelEvent], None]


async def play(
    pieces: AsyncGenerator[Piece, None],
    usage: Callable[[Sequence[dict[str, Any]]], Usage | None],
    wait: Callable[[trio.Event], Awaitable[None]] = trio.Event.wait,
) -> Batches:
    """Play an answer. `usage` is called for an answer without one, with its items; `wait` waits for a trio.Event."""
    answer = _Answer()
    async with aclosing(pieces):
        async for piece in pieces:
            match piece:
                case Pause():
                    await trio.sleep(piece.seconds)
                    continue
                case Usage():
                    answer.usage = piece
                    continue
                case Exception():
                    await trio.lowlevel.checkpoint()
                    raise piece
                case Raw():
                    batches = answer.take(piece.events)
                case trio.Event():
                    batches = answer.begin()
                case Say():
                    batches = [*answer.begin(), *answer.open()]
                case Think():
                    batches = [*answer.begin(), *answer.close(), *answer.think(piece)]
                case _:
                    batches = [*answer.begin(), *answer.close(), *answer.add(piece)]
            for batch in batches:
                await trio.lowlevel.checkpoint()
                yield batch
            if isinstance(piece, trio.Event):
                await wait(piece)
            elif isinstance(piece, Say):
                for chunk in piece.chunks:
                    await trio.sleep(piece.pace)
                    yield answer.say(chunk)
    for batch in answer.end(usage):
        await trio.lowlevel.checkpoint()
        yield batch


class _Answer:
    """What has been played so far."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._id = ""
        self._items: list[dict[str, Any]] = []
        self._said: list[str] = []
        self._message = ""
        self._raw = self._complete = False

    def begin(self) -> list[list[ModelEvent]]:
        if self._id:
            return []
        self._id = f"resp_{uuid.uuid4().hex}"
        return [[Created(self._id)]]

    def open(self) -> list[list[ModelEvent]]:
        if self._message:
            return []
        self._message, self._said = f"msg_{uuid.uuid4().hex}", []
        return [[ItemAdded(_message(self._message, ""))]]

    def say(self, chunk: str) -> list[ModelEvent]:
        self._said.append(chunk)
        return [TextDelta(chunk, self._message)]

    def close(self) -> list[list[ModelEvent]]:
        """The end of the message, if one is open."""
        if not self._message:
            return []
        message = _message(self._message, "".join(self._said))
        self._message = ""
        return self.add(message)

    def add(self, item: dict[str, Any]) -> list[list[ModelEvent]]:
        self._items.append(dict(item))
        return [[ItemDone(self._items[-1])]]

    def think(self, piece: Think) -> list[list[ModelEvent]]:
        thoughts: dict[str, Any] = {"type": "reasoning", "id": f"rs_{uuid.uuid4().hex}", "summary": []}
        batches: list[list[ModelEvent]] = [[ItemAdded(dict(thoughts)), SummaryPartAdded(0)]]
        for word in words(piece.text):
            batches.append([SummaryDelta(word, 0)])  # noqa: PERF401 - a list of lists of this type only is another type
        return batches + self.add({**thoughts, "summary": [{"type": "summary_text", "text": piece.text}]})

    def take(self, events: Sequence[ModelEvent]) -> list[list[ModelEvent]]:
        self._raw = True
        self._complete |= any(type(event) is Completed for event in events)
        return [list(events)] if events else []

    def end(self, usage: Callable[[Sequence[dict[str, Any]]], Usage | None]) -> list[list[ModelEvent]]:
        if self._raw:
            if not self._complete:
                raise disconnected("the script ends here")
            return []
        batches = [*self.begin(), *self.close()]
        spent = self.usage if self.usage is not None else usage(self._items)
        return [*batches, [Completed(self._id, spent)]]


def words(text: str) -> list[str]:
    """Split `text` before each word. The pieces, joined, are `text`."""
    return re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)


def estimate(request: ModelRequest, items: Sequence[dict[str, Any]]) -> Usage:
    """The usage of an answer by the lengths of request and items."""
    asked = _tokens(len(request.instructions) + sum(map(len, request.input)))
    thought = sum(_tokens(len(orjson.dumps(item))) for item in items if item["type"] == "reasoning")
    answered = sum(_tokens(len(orjson.dumps(item))) for item in items)
    return Usage(asked, 0, answered, thought, asked + answered)


def call_item(name: str, arguments: object, call_id: str | None = None) -> dict[str, Any]:
    """The response item of a function call. `arguments`: a string, or any JSON."""
    return {
        "type": "function_call",
        "name": name,
        "arguments": arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode(),
        "call_id": call_id or f"call_{uuid.uuid4().hex}",
    }


def _message(item_id: str, text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "id": item_id, "content": content}


def _tokens(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)
