"""A model that plays a script."""

from __future__ import annotations

from collections import deque

from spindle.testing.answers import Answers, described, say
from spindle.testing.played import PlayedModel, Spends
from spindle.testing.requests import Request


class ScriptedModel(PlayedModel):
    """A model whose requests get the answers of a script, in order.

    model = ScriptedModel(call("weather", city="Oslo"), say("It rains."))

    `strict`: a request beyond the script, answers that are left at the end, and a call of a tool that the thread does not offer
    fail the test (`assert_done`). Otherwise a request beyond the script gets "ok". `stream_max_retries`: how often a lost
    connection (`disconnect`) is repeated; each attempt takes an answer.
    """

    def __init__(
        self, *answers: Answers, strict: bool = True, stream_max_retries: int = 0, usage: Spends = "estimate"
    ) -> None:
        super().__init__(strict=strict, stream_max_retries=stream_max_retries, usage=usage)
        self.answers = deque(answers)
        """The answers that are left."""

    def script(self, *answers: Answers) -> None:
        """Add answers to the script."""
        self.answers.extend(answers)

    def answer(self, request: Request) -> Answers:
        """The next answer of the script."""
        if self.answers:
            return self.answers.popleft()
        if self.strict:
            raise self.refuse(f"the script has no answer for request {len(self.requests)}:\n{request}")
        return say("ok")

    def left(self) -> list[str]:
        """A strict script must be used up."""
        if not self.strict or not self.answers:
            return []
        lines = [f"the script has {len(self.answers)} more answer(s) after request {len(self.requests)}:"]
        return ["\n".join([*lines, *map(described, self.answers)])]
