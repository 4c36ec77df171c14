"""Who hears what: events, the bounded outbox of each subscriber, and the audience of all connections.

A thread never waits for a subscriber. Each has an outbox of its own; when that fills, runs of text deltas of one item
become one delta (the same text in fewer messages). What then still does not fit is the subscriber's `Overflow` policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Any, ClassVar, Protocol

import trio
from attrs import evolve

from spindle.actors.streaming import LongMessage
from spindle.rpc.protocol.envelope import encode_notification

CAPACITY = 4096
"""Messages an outbox holds before it merges."""
WEIGHT = 512 * 1024
"""Characters of deltas in an outbox before whoever writes more of them is made to wait."""
MOST = 32 * 1024 * 1024
"""Characters of deltas that a subscriber may be behind which turns do not wait for."""
PATIENCE = 0.25
"""Seconds that is waited for such a subscriber, which may have stopped reading."""


class Notification(Protocol):
    """Any notification class of the vocabulary."""

    METHOD: ClassVar[str]


class Event:
    """One notification on its way to any number of subscribers; encoded at most once."""

    __slots__ = ("_encoded", "params")

    def __init__(self, params: Any) -> None:
        self.params = params
        self._encoded: bytes | None = None

    @property
    def method(self) -> str:
        """The notification's name on the wire."""
        method: str = self.params.METHOD
        return method

    def encode(self) -> bytes:
        """The whole JSON-RPC message."""
        if self._encoded is None:
            self._encoded = encode_notification(self.params.METHOD, self.params)
        return self._encoded


_MERGEABLE = {
    "item/agentMessage/delta": ("item_id",),
    "item/plan/delta": ("item_id",),
    "item/reasoning/textDelta": ("item_id", "content_index"),
    "item/reasoning/summaryTextDelta": ("item_id", "summary_index"),
    "item/commandExecution/outputDelta": ("item_id",),
}


Message = Event | bytes | LongMessage


def merge(messages: Sequence[Message]) -> Iterator[Message]:
    """The same messages with each run of deltas of one item joined into one."""
    run: list[str] = []
    key: tuple[object, ...] | None = None
    first: Event | None = None
    for message in messages:
        own = _merge_key(message)
        if own is not None and own == key and isinstance(message, Event):
            run.append(message.params.delta)
            continue
        if first is not None:
            yield first if len(run) == 1 else Event(evolve(first.params, delta="".join(run)))
        if own is not None and isinstance(message, Event):
            key, first, run = own, message, [message.params.delta]
        else:
            key, first, run = None, None, []
            yield message
    if first is not None:
        yield first if len(run) == 1 else Event(evolve(first.params, delta="".join(run)))


def _weight(message: Message) -> int:
    if isinstance(message, Event) and message.method in _MERGEABLE:
        delta: str = message.params.delta
        return len(delta)
    return 0


def _merge_key(message: Message) -> tuple[object, ...] | None:
    if not isinstance(message, Event) or (names := _MERGEABLE.get(message.method)) is None:
        return None
    params = message.params
    return (message.method, params.thread_id, *(getattr(params, name) for name in names))


class Overflow(Enum):
    """What happens to a subscriber that does not keep up even with merged deltas."""

    CLOSE = auto()
    """It is cut off, with a reason: a socket, an embedding task."""
    WAIT = auto()
    """Turns wait for it between two pieces of the model's answer: stdio, where the client is the only one."""


class Outbox:
    """The messages one subscriber has yet to take."""

    def __init__(self, overflow: Overflow, capacity: int = CAPACITY) -> None:
        self._messages: deque[Message] = deque()
        self._overflow = overflow
        self._capacity = capacity
        self._merged_at = capacity
        self._weight = 0
        self._stalled = False
        self._ready = trio.Event()
        self._drained = trio.Event()
        self.overflowed = False
        self.closed = False
        self.on_overflow: Callable[[], None] = lambda: None
        """Called once, at the moment it overflows: whoever empties it may be stuck with what it took last."""

    def put(self, message: Message) -> None:
        """Add a message; never waits."""
        if self.closed or self.overflowed:
            if isinstance(message, LongMessage):
                message.close()
            return
        messages = self._messages
        messages.append(message)
        self._weight += _weight(message)
        if len(messages) > self._merged_at:
            self._messages = messages = deque(merge(tuple(messages)))
            # merging again before this many more have come would be quadratic
            self._merged_at = max(self._capacity, len(messages) + self._capacity // 4)
            if len(messages) > self._capacity:
                self._overflows()
        if self._weight > MOST:
            self._overflows()
        self._ready.set()

    def _overflows(self) -> None:
        if self._overflow is Overflow.CLOSE and not self.overflowed:
            self.overflowed = True
            self.on_overflow()

    async def take(self) -> list[Message]:
        """Everything waiting, at least one message; an empty list when the outbox is closed or has overflowed."""
        while not self._messages and not self.closed and not self.overflowed:
            self._ready = trio.Event()
            await self._ready.wait()
        if self.overflowed:
            return []
        taken = list(self._messages)
        self._messages.clear()
        self._merged_at = self._capacity
        self._weight = 0
        self._stalled = False
        self._drained.set()
        return taken

    async def room(self) -> None:
        """Wait while much text is on its way to the subscriber, or one that turns wait for is half a capacity behind.

        For one that turns do not wait for, at most a moment, and not again before it has taken something.
        """
        while not self.closed and self._behind():
            if self._drained.is_set():  # several turns may wait
                self._drained = trio.Event()
            patience = PATIENCE if self._overflow is Overflow.CLOSE else float("inf")
            with trio.move_on_after(patience) as waiting:
                await self._drained.wait()
            self._stalled = waiting.cancelled_caught

    def _behind(self) -> bool:
        if self._overflow is Overflow.CLOSE:
            return self._weight > WEIGHT and not self._stalled and not self.overflowed
        return self._weight > WEIGHT or len(self._messages) > self._capacity // 2

    def close(self) -> None:
        """Take nothing more in; a waiting `take` returns what is left."""
        self.closed = True
        self._ready.set()
        self._drained.set()

    def discard(self) -> None:
        """Nobody will take what is left."""
        self.close()
        for message in self._messages:
            if isinstance(message, LongMessage):
                message.close()
        self._messages.clear()


class Subscriber:
    """One client of threads: a connection, or an embedding task. Compared by identity."""

    def __init__(
        self,
        overflow: Overflow,
        *,
        muted: frozenset[str] = frozenset(),
        capacity: int = CAPACITY,
        one_thread: bool = False,
    ) -> None:
        self.outbox = Outbox(overflow, capacity)
        self.muted = muted
        self.one_thread = one_thread
        """Whether its thread's end is its own, and of that thread's agents it hears only questions: an embedding task."""
        self.threads: set[str] = set()
        """Ids of the threads it is subscribed to, kept by those threads."""
        self.pending: deque[Any] = deque()
        """Events an embedding task has taken out of the outbox and not looked at yet."""

    def deliver(self, event: Event) -> None:
        """Put an event into the outbox unless the subscriber opted out of its kind."""
        if event.method not in self.muted:
            self.outbox.put(event)


class Audience:
    """Everybody who hears of every thread: all initialized connections of a runtime."""

    def __init__(self) -> None:
        self._members: dict[Subscriber, None] = {}

    def join(self, member: Subscriber) -> None:
        """Add a member."""
        self._members[member] = None

    def leave(self, member: Subscriber) -> None:
        """Remove a member."""
        self._members.pop(member, None)

    def announce(self, params: Any) -> None:
        """Send a notification to every member."""
        event = Event(params)
        for member in self._members:
            member.deliver(event)
