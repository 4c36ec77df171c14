"""The outbox of a subscriber: what it has yet to take, within bounds.

A thread never waits for a subscriber. When an outbox is full, runs of text deltas of one item become one delta: the same
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
"""Bytes of notifications in an outbox before whoever writes more of them is made to wait."""
MOST = 32 * 1024 * 1024
"""Bytes of notifications, beside the largest, that a subscriber may be behind which turns do not wait for."""
ANSWERS = 256
"""Answers in an outbox before no more requests are read."""
ANSWERS_WEIGHT = 4 * 1024 * 1024
"""Bytes of answers in an outbox before no more requests are read."""
MOST_ANSWERS = 64 * 1024 * 1024
"""Bytes of answers, beside the largest, to requests read before, that a client may be behind which turns do not wait for."""
PATIENCE = 0.25
"""Seconds that is waited for such a subscriber, which may have stopped reading."""


class Overflow(Enum):
    """What happens to a subscriber that does not keep up even with merged deltas."""

    CLOSE = auto()
    """It is cut off, with a reason: a socket, an embedding task."""
    WAIT = auto()
    """Turns wait for it between two pieces of the model's answer: stdio, where the client is the only one."""


class Outbox:
    """The messages one subscriber has yet to take: notifications, and answers to what it has asked.

    Each of the two has bounds in messages and in bytes. Behind with notifications, the subscriber has its `Overflow`; behind
    with answers, no more of its requests are read (`answers_taken`).
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
        self._ready = trio.Event()
        self._drained = trio.Event()
        self.overflowed = False
        self.closed = False
        self.on_overflow: Callable[[], None] = lambda: None
        """Called once, at the moment it overflows: whoever empties it may be stuck with what it took last."""

    def put(self, message: Message) -> None:
        """Add a message; never waits."""
        if isinstance(message, LongMessage) and (not self._taking or self._messages or self.closed or self.overflowed):
            message.close()  # it is read again when its turn comes
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
        self._ready.set()

    def _merge(self) -> None:
        self._messages = deque(merge(self._messages))
        count = sum(isinstance(message, Event) for message in self._messages)
        weight = sum(message.weight for message in self._messages if isinstance(message, Event))
        self._notifications.count, self._notifications.weight = count, weight
        # merging again before this many more have come would be quadratic
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

    async def take(self, most: int | None = None) -> list[Message]:
        """What is waiting, at least one message; an empty list when the outbox is closed or has overflowed.

        Not more than `most` bytes and one message; everything where that is None.
        """
        self._taking = True
        try:
            while not self._messages and not self.closed and not self.overflowed:
                self._ready = trio.Event()
                await self._ready.wait()
        finally:
            self._taking = False
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
        """Wait while much text is on its way to the subscriber, or one that turns wait for is half a capacity behind.

        For one that turns do not wait for, at most a moment, and not again before it has taken something.
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
        """Whether many answers, or large ones, are on their way to the client."""
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
        """Take nothing more in; a waiting `take` returns what is left."""
        self.closed = True
        self._ready.set()
        self._drained.set()

    def discard(self) -> None:
        """Nobody will take what is left."""
        self.close()
        self._drop()


@define
class _Load:
    """How many messages of one kind there are, and about how many bytes; `spared` is the largest that is not merged."""

    count: int = 0
    weight: int = 0
    spared: int = 0

    @property
    def behind(self) -> int:
        """Bytes beside the largest message: one alone may be of any size."""
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
