"""What a running turn waits for at this moment: an answer of the model, calls of tools. For those who look at it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from attrs import define, field

from spindle.actors.tools.interface import Call


@define(eq=False)
class Asking:
    """An answer of the model that is awaited. `attempt` counts the requests for it, from 1."""

    began: float = field(factory=time.monotonic)
    attempt: int = 1


@define(eq=False)
class Calling:
    """A call of a tool that runs."""

    call: Call
    began: float = field(factory=time.monotonic)


@define(eq=False)
class Work:
    """The work of one turn. Times are those of `time.monotonic`."""

    asked: Asking | None = None
    calls: dict[Calling, None] = field(factory=lambda: dict[Calling, None]())
    """The running calls, oldest first."""
    answered: Sequence[str] = ()
    """The ids of the calls of the last answer, in its order; without those that occur twice."""
    begun: set[str] = field(factory=lambda: set[str]())
    """Those that have begun. They may have done something."""

    def answer(self, ids: Sequence[str]) -> None:
        """The model has answered with these calls, and none has begun."""
        counts = Counter(ids)
        self.answered, self.begun = [id for id in ids if id and counts[id] == 1], set()

    @contextmanager
    def asking(self) -> Generator[Asking]:
        """An answer is awaited inside the block."""
        before, self.asked = self.asked, Asking()
        try:
            yield self.asked
        finally:
            self.asked = before

    @contextmanager
    def calling(self, call: Call) -> Generator[None]:
        """A call runs inside the block."""
        entry = Calling(call)
        self.begun.add(call.id)
        self.calls[entry] = None
        try:
            yield
        finally:
            del self.calls[entry]
