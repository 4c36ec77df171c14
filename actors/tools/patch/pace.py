"""Long work in a worker thread, without keeping the interpreter lock from the event loop for long."""

from __future__ import annotations

import time

from attrs import define

QUANTUM = 128
"""Small steps (a microsecond or less each) between two moments in which other Python threads get their turn."""


@define
class Pace:
    """Counts steps of work and rests for a moment after each `QUANTUM` of them. Sleeping is what makes the others run:
    the lock that a short system call lets go of is mostly taken back at once."""

    done: int = 0
    _next: int = QUANTUM

    def step(self, count: int = 1) -> None:
        """Account for so many steps."""
        self.done += count
        if self.done >= self._next:
            self._next = self.done + QUANTUM
            time.sleep(0)
