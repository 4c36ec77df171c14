"""A model that is a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spindle.testing.answers import Answers
from spindle.testing.played import PlayedModel, Spends
from spindle.testing.requests import Request


class FunctionModel(PlayedModel):
    """A model that answers each request with what a function returns: a text or an answer as in a script.

    def shout(request: Request) -> str:
        return request.prompt.upper()

    The function may be async, and an async generator of pieces. An exception in it fails the turn.
    """

    def __init__(
        self,
        function: Callable[[Request], Any],
        *,
        strict: bool = True,
        stream_max_retries: int = 0,
        usage: Spends = "estimate",
    ) -> None:
        super().__init__(strict=strict, stream_max_retries=stream_max_retries, usage=usage)
        if not callable(function):
            raise TypeError(f"{function!r} is no function; `ScriptedModel` plays answers")
        self.function = function

    def answer(self, request: Request) -> Answers:
        """Calls the function when the answer begins."""
        return self.function
