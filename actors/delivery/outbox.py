"""The outbox of a subscriber: the messages it has not taken yet, within bounds.

A thread never waits for a subscriber. When an outbox is full, consecutive text deltas of one item become one delta: the same
text in fewer messages. If that is not enough, the subscriber's `Overflow` says what happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto

import trio
from attrs import define

from spindle.actors.delivery.events import Event, Message, merge
from spindle.actors.delivery.long_answers import LongMessage

CAPACITY = 4096
"""Notifications an outbox holds before it merges."""
WEIGHT = 512 * 1024
"""Bytes of notifications in an outbox before a turn that writes more has to wait (`room`)."""
MOST = 32 * 1024 * 1024
"""Bytes of notifications, without the largest, in an outbox with `CLOSE` before it overflows."""
ANSWERS = 256
"""Answers in an outbox before the connection reads no more requests."""
ANSWERS_WEIGHT = 4 * 1024 * 1024
"""Bytes of answers in an outbox before the connection reads no more requests."""
MOST_ANSWERS = 64 * 1024 * 1024
"""Bytes of answers, without the largest, in an outbox with `CLOSE` before it overflows."""
PATIENCE = 0.25
"""Seconds that a turn waits for a subscriber with `CLOSE`: it may have stopped reading."""


class Overflow(Enum):
    """What happens when a subscriber does not keep up, even with merged deltas."""

    CLOSE = auto()
    """It is disconnected with a reason. For sockets and embedding tasks."""
    WAIT = auto()
    """Turns wait for it between two batches of the model's answer. For stdio, where it is the only client."""


class Outbox:
    """The messages that one subscriber has not taken yet: notifications, and answers to its requests.

    Both have bounds in messages and in bytes. Too many notifications: `Overflow` says what happens. Too many answers: the
    connection reads no more requests (`answers_taken`).
    """

    def __init__(self, overflow: Overflow, capacity: int = CAPACITY) -> None:
        self._messages: deque[Message] = deque()
        self._overflow = overflow
        self._capacity = capacity
        self._merged_at = capacity
        self._notifications = _Load()
        self._answers = _Load()
        self._stalled = False
        self._taking = False
        self._ready = trio.lowlevel.ParkingLot()
        self._drained = trio.Event()
        self.overflowed = False
        self.closed = False
        self.on_overflow: Callable[[], None] = lambda: None
        """Called once, when it overflows: the task that empties it may be blocked while it writes."""

    def put(self, message: Message) -> None:
        """Add a message. Never waits."""
        if isinstance(message, LongMessage) and (not self._taking or self._messages or self.closed or self.overflowed):
            message.close()  # its turns are read again when it is sent
        if self.closed or self.overflowed:
            return
        self._messages.append(message)
        if isinstance(message, Event):
            self._notifications.add(message.weight, joined=message.mergeable)
            if self._notifications.count > self._merged_at:
                self._merge()
            if self._notifications.weight > MOST and self._notifications.behind > MOST:
                self._overflows()
        else:
            self._answers.add(_weight(message))
            if self._answers.behind > MOST_ANSWERS:
                self._overflows()
        if self._ready:
            self._ready.unpark_all()

    def _merge(self) -> None:
        self._messages = deque(merge(self._messages))
        count = sum(isinstance(message, Event) for message in self._messages)
        weight = sum(message.weight for message in self._messages if isinstance(message, Event))
        self._notifications.count, self._notifications.weight = count, weight
        # merging again before this many more have arrived would be quadratic
        self._merged_at = max(self._capacity, count + self._capacity // 4)
        if count > self._capacity:
            self._overflows()

    def _overflows(self) -> None:
        if self._overflow is Overflow.CLOSE and not self.overflowed:
            self.overflowed = True
            self._drop()
            self.on_overflow()

    def _drop(self) -> None:
        for message in self._messages:
            if isinstance(message, LongMessage):
                message.close()
        self._empty()

    def _empty(self) -> None:
        self._messages.clear()
        self._merged_at = self._capacity
        self._notifications, self._answers = _Load(), _Load()
        self._drained.set()

    async def wait(self) -> None:
        """Wait until `take` has something to take, or the outbox is closed or has overflowed."""
        self._taking = True
        try:
            while not self._messages and not self.closed and not self.overflowed:
                await self._ready.park()
        finally:
            self._taking = False

    async def take(self, most: int | None = None) -> list[Message]:
        """Wait for messages and take them. An empty list means that the outbox is closed or has overflowed.

        Stops after the first message that brings it above `most` bytes; None takes everything.
        """
        await self.wait()
        self._stalled = False
        taken: list[Message] = []
        if most is None or self._notifications.weight + self._answers.weight <= most:
            taken += self._messages
            self._empty()
            return taken
        weight = 0
        while self._messages and weight <= most:
            message = self._messages.popleft()
            taken.append(message)
            weight += (size := _weight(message))
            (self._notifications if isinstance(message, Event) else self._answers).take(size)
        self._drained.set()
        return taken

    async def room(self) -> None:
        """Wait while the subscriber is behind: by many bytes or, with `WAIT`, by half the capacity.

        With `CLOSE` wait at most `PATIENCE` seconds, and not again before the subscriber has taken something.
        """
        while not self.closed and self._behind():
            patience = PATIENCE if self._overflow is Overflow.CLOSE else float("inf")
            with trio.move_on_after(patience) as waiting:
                await self._draining()
            self._stalled = waiting.cancelled_caught

    def _behind(self) -> bool:
        if self._overflow is Overflow.CLOSE:
            return self._notifications.weight > WEIGHT and not self._stalled and not self.overflowed
        return self._notifications.weight > WEIGHT or self._notifications.count > self._capacity // 2

    @property
    def answers_behind(self) -> bool:
        """Whether the client has not taken many answers, or large ones, yet."""
        return not self.closed and (self._answers.count > ANSWERS or self._answers.weight > ANSWERS_WEIGHT)

    async def answers_taken(self) -> None:
        """Wait while `answers_behind`."""
        while self.answers_behind:
            await self._draining()

    async def _draining(self) -> None:
        if self._drained.is_set():  # several may wait
            self._drained = trio.Event()
        await self._drained.wait()

    def close(self) -> None:
        """Accept no more messages. A waiting `take` returns what is left."""
        self.closed = True
        self._ready.unpark_all()
        self._drained.set()

    def drain(self) -> list[Message]:
        """Close it and return what is left."""
        left = list(self._messages)
        self._messages.clear()
        self.discard()
        return left

    def discard(self) -> None:
        """Close it and drop what is left."""
        self.close()
        self._drop()


@define
class _Load:
    """How many messages of one kind there are, and about how many bytes. `spared` is the largest that cannot be merged."""

    count: int = 0
    weight: int = 0
    spared: int = 0

    @property
    def behind(self) -> int:
        """Bytes without the largest message: one message alone may have any size."""
        return self.weight - self.spared

    def add(self, weight: int, joined: bool = False) -> None:
        self.count += 1
        self.weight += weight
        if weight > self.spared and not joined:
            self.spared = weight

    def take(self, weight: int) -> None:
        self.count -= 1
        self.weight -= weight
        self.spared = min(self.spared, self.weight)


def _weight(message: Message) -> int:
    return len(message) if isinstance(message, bytes) else message.weight
