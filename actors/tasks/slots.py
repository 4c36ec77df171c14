"""Slots for work, so that only so much of it runs at a time."""

from __future__ import annotations

from collections import deque

import trio


class Slots:
    """Slots that are taken in the order in which they were asked for.

    What holds one for `patience` seconds waits for something else than the processor. It goes on without its slot as soon as
    another one asks, so that work which waits never keeps other work from running.
    """

    def __init__(self, slots: int, patience: float) -> None:
        self._free, self._patience = slots, patience
        self._queue: deque[trio.Event] = deque()
        self._held: dict[object, float] = {}  # until when; in this order

    async def take(self) -> object:
        """Wait for a slot; returns what gives it back."""
        if self._free and not self._queue:
            self._free -= 1
        else:
            await self._wait()
        slot = object()
        self._held[slot] = trio.current_time() + self._patience
        return slot

    def give_back(self, slot: object) -> None:
        """Give a slot back that was taken."""
        if self._held.pop(slot, None) is not None:
            self._pass_on()

    async def _wait(self) -> None:
        granted = trio.Event()
        self._queue.append(granted)
        try:
            while not granted.is_set():
                with trio.move_on_at(next(iter(self._held.values()), float("inf"))):
                    await granted.wait()
                self._reclaim()
        except BaseException:
            if granted.is_set():
                self._pass_on()
            else:
                self._queue.remove(granted)
            raise

    def _reclaim(self) -> None:
        now = trio.current_time()
        for slot in [slot for slot, until in self._held.items() if until <= now][: len(self._queue)]:
            self.give_back(slot)

    def _pass_on(self) -> None:
        if self._queue:
            self._queue.popleft().set()
        else:
            self._free += 1
