"""What a stream has brought so far, for tests to wait on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from benchmarks.driving import DEADLINE

T = TypeVar("T")


class Feed(Generic[T]):
    """The entries that a reader thread has added. Other threads wait for them."""

    def __init__(self) -> None:
        self.entries: list[T] = []
        self.ended = False
        self._changed = threading.Condition()

    def add(self, entry: T) -> None:
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def find(self, wanted: Callable[[T], bool], since: int = 0) -> T:
        """Wait for the first wanted entry at or after number `since`. Raises EOFError and TimeoutError."""
        at, limit = since, time.monotonic() + DEADLINE
        with self._changed:
            while True:
                for at in range(at, len(self.entries)):  # noqa: B020 - the search continues there
                    if wanted(self.entries[at]):
                        return self.entries[at]
                at = len(self.entries)
                if self.ended:
                    raise EOFError(f"the stream ended without it; the last entries: {self.entries[-5:]}")
                if not self._changed.wait(limit - time.monotonic()):
                    raise TimeoutError(f"it did not come; the last entries: {self.entries[-5:]}")

    def wait_end(self) -> None:
        """Wait until the peer has closed the stream. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended, DEADLINE):
                raise TimeoutError("the stream did not end")
