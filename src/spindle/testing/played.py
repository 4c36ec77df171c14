"""What the models of this kit share: they decode requests, play answers, and remember what was wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any, Literal, TypeAlias

import trio

from spindle.rpc.model.interface import ModelEvent, ModelRequest, Usage
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.playing import Piece, estimate, play
from spindle.testing.answers import Answers, Call, pieces_of
from spindle.testing.requests import Request

Spends: TypeAlias = Usage | Literal["estimate"] | None
"""The usage of answers that have none of their own: by the lengths of request and answer, or None for no report."""


class PlayedModel:
    """A `Model` that plays what `answer` returns. A base class of the kit's models."""

    def __init__(self, *, strict: bool = True, stream_max_retries: int = 0, usage: Spends = "estimate") -> None:
        """`strict`: a call of a tool that the thread does not offer fails the test."""
        self.strict = strict
        self.stream_max_retries = stream_max_retries
        self.usage: Spends = usage
        self.requests: list[Request] = []
        """The requests so far."""
        self.waiting = trio.Event()
        """Set while an answer hangs. When none does any more, another event is here, for the next one."""
        self._hanging = 0
        self.problems: list[str] = []
        """What has been wrong so far; see `assert_done`."""
        self.fault: ModelError | None = None
        """Raised by each request while it is set (`faults.model_unreachable`)."""

    def answer(self, request: Request) -> Answers:
        """The answer to a request. Raises ModelError."""
        raise NotImplementedError

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """As in `Model`."""
        return self._stream(request)

    @asynccontextmanager
    async def _stream(self, raw: ModelRequest) -> AsyncGenerator[AsyncIterator[Sequence[ModelEvent]]]:
        request = Request(raw)
        self.requests.append(request)
        if self.fault is not None:
            raise self.fault
        pieces = self._pieces(self.answer(request), request)
        await trio.lowlevel.checkpoint()
        async with aclosing(play(pieces, partial(self._spent, raw), self._wait)) as batches:
            yield batches

    async def aclose(self) -> None:
        """As in `Model`; does nothing."""

    def assert_done(self) -> None:
        """Raise AssertionError if something was wrong. The fixture `runtime` calls it at the end of the test."""
        if problems := [*self.problems, *self.left()]:
            raise AssertionError("\n\n".join(problems))

    def left(self) -> list[str]:
        """What is still to be played."""
        return []

    def refuse(self, problem: str) -> ModelError:
        """Remember a problem, and return the error that ends the turn with it."""
        self.problems.append(problem)
        return ModelError(problem)

    async def _pieces(self, answer: Answers, request: Request) -> AsyncGenerator[Piece, None]:
        async with aclosing(pieces_of(answer, request)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, Call):
                    yield piece
                    continue
                item, offered = piece.item(request)
                if self.strict and not offered:
                    names = ", ".join(sorted(request.tools)) or "none"
                    raise self.refuse(f"{piece}: the thread does not offer this tool. It offers: {names}")
                yield item

    async def _wait(self, event: trio.Event) -> None:
        self._hanging += 1
        self.waiting.set()
        try:
            await event.wait()
        finally:
            self._hanging -= 1
            if not self._hanging and self.waiting.is_set():  # an application may have set another event in its place
                self.waiting = trio.Event()

    def _spent(self, request: ModelRequest, items: Sequence[dict[str, Any]]) -> Usage | None:
        return estimate(request, items) if self.usage == "estimate" else self.usage
