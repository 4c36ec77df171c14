"""What a scripted model answers: `say call think fail hang disconnect`, combined with `+` or in a list."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias, cast

import orjson
import trio
from attrs import frozen

from spindle.rpc.model.interface import Usage
from spindle.rpc.model.model_errors import disconnected
from spindle.rpc.model.playing import Pause, Piece, Raw, Say, Think, call_item, words
from spindle.rpc.model.refusals import refused
from spindle.testing.requests import Request

_URL = "https://scripted.invalid/v1/responses"


@frozen
class Call:
    """A call of a tool. Which kind of call it is follows from what the thread offers when it is played."""

    name: str
    arguments: Mapping[str, Any] | str
    id: str | None = None

    def __str__(self) -> str:
        given = self.arguments
        return f"call({self.name!r}, " + (
            repr(given) if isinstance(given, str) else ", ".join(f"{name}={value!r}" for name, value in given.items())
        ).rstrip(", ") + ")"

    def item(self, request: Request) -> tuple[dict[str, Any], bool]:
        """The response item, and whether the thread offers the tool."""
        found = {name: (namespace, offer) for name, namespace, offer in request.offers()}
        namespace, offer = found.get(self.name, (None, None))
        name = self.name if namespace is None else self.name.removeprefix(f"{namespace}.")
        if offer is not None and offer.get("type") == "custom":
            item = call_item(name, "", self.id)
            given = self.arguments if isinstance(self.arguments, str) else str(self.arguments.get("input", ""))
            return {**item, "type": "custom_tool_call", "input": given}, True
        item = call_item(name, self.arguments, self.id)
        return item if namespace is None else {**item, "namespace": namespace}, offer is not None


@frozen
class Answer:
    """Pieces of an answer, in order. Answers are added with `+`."""

    pieces: tuple[Piece | Call, ...]

    def __add__(self, other: Answer) -> Answer:
        return Answer((*self.pieces, *other.pieces))

    def __str__(self) -> str:
        return " + ".join(map(_described, self.pieces))


Answers: TypeAlias = "Answer | str | Piece | Iterable[Answers] | Callable[[Request], Any]"
"""An answer, a text, a piece (a `trio.Event` is waited for, an exception is raised, a dict is a whole response item, a `Usage`
is the answer's usage), several of these, or a function of the request that returns one. The function may be async, and an
async generator of pieces.
"""


def say(text: str, *, chunks: Sequence[str] | int | None = None, pace: float = 0.0) -> Answer:
    """Text of the agent's message, streamed by words, in the given `chunks`, or in so many of equal length.

    `pace` is in seconds, before each. Several in a row are one message.
    """
    if isinstance(chunks, int):
        size = max(1, -(-len(text) // chunks))
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
    if chunks is not None and "".join(chunks) != text:
        raise ValueError("the chunks are not the text")
    return Answer((Say(words(text) if chunks is None else chunks, pace),))


def think(text: str) -> Answer:
    """A summary of thoughts."""
    return Answer((Think(text),))


def call(name: str, arguments: str | None = None, /, *, call_id: str | None = None, **given: Any) -> Answer:
    """A call of a tool: `call("weather", city="Oslo")`. Several in one answer are several calls of it.

    `arguments` is in place of keywords: arguments as a string, or the input of a tool that takes free text, such as
    `apply_patch`. A tool of an MCP server has its namespace before a dot: `call("mcp__docs__.search", query="trio")`.
    """
    if arguments is not None and given:
        raise TypeError("the arguments are a string or keywords, not both")
    return Answer((Call(name, given if arguments is None else arguments, call_id),))


def fail(
    status: int,
    message: str = "",
    *,
    type: str | None = None,
    code: str | None = None,
    retry_after: float | None = None,
) -> Answer:
    """The provider refuses the request with an HTTP status, as `ResponsesModel` reports it.

    `message`, `type` and `code` are those of the provider's error, `retry_after` in seconds. Raises ValueError for the
    status of an answer.
    """
    if not 300 <= status < 600:
        raise ValueError(f"status {status} is no refusal; those are 300 to 599")
    said = {name: value for name, value in (("message", message), ("type", type), ("code", code)) if value}
    body = orjson.dumps({"error": said}) if said else b""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Answer((refused(status, body, _URL, header=headers.get),))


def disconnect(reason: str = "the script ends the connection") -> Answer:
    """The connection is lost: before the answer, or within it."""
    return Answer((disconnected(reason),))


def hang(until: trio.Event | None = None) -> Answer:
    """Say nothing more until the event is set, or the request is cancelled."""
    return Answer((trio.Event() if until is None else until,))


def pause(seconds: float) -> Answer:
    """Say nothing for this time of the run's clock."""
    return Answer((Pause(seconds),))


def usage(input_tokens: int = 0, output_tokens: int = 0, *, cached: int = 0, reasoning: int = 0) -> Answer:
    """The usage that the answer reports, in tokens, in place of an estimate."""
    return Answer((Usage(input_tokens, cached, output_tokens, reasoning, input_tokens + output_tokens),))


async def pieces_of(answer: Answers, request: Request) -> AsyncGenerator[Piece | Call, None]:
    """The pieces of an answer. Raises TypeError for something else."""
    given: object = cast("Callable[[Request], object]", answer)(request) if callable(answer) else answer
    if inspect.isawaitable(given):
        given = await cast("Awaitable[object]", given)
    match given:
        case str():
            yield Say(words(given))
        case Answer():
            for piece in given.pieces:
                yield piece
        case Say() | Think() | Raw() | Pause() | Call() | trio.Event() | Exception() | Usage() | dict():
            yield cast("Piece | Call", given)
        case AsyncIterable():
            async with aclosing(cast("AsyncGenerator[Answers, None]", given)) as parts:
                async for part in parts:
                    async with aclosing(pieces_of(part, request)) as pieces:
                        async for piece in pieces:
                            yield piece
        case Iterable():
            for part in cast("Iterable[Answers]", given):
                async with aclosing(pieces_of(part, request)) as pieces:
                    async for piece in pieces:
                        yield piece
        case _:
            raise TypeError(f"{given!r} is no answer of a model")


def described(answer: Answers) -> str:
    """The answer for people."""
    if isinstance(answer, str):
        return f"say({answer!r})"
    if isinstance(answer, list | tuple):
        return f"[{', '.join(map(described, cast('Sequence[Answers]', answer)))}]"
    return str(answer) if isinstance(answer, Answer) else _described(answer)


def _described(piece: object) -> str:
    match piece:
        case Say():
            return f"say({''.join(piece.chunks)!r})"
        case Think():
            return f"think({piece.text!r})"
        case Pause():
            return f"pause({piece.seconds:g})"
        case trio.Event():
            return "hang()"
        case Call():
            return str(piece)
        case _:
            return repr(piece)
