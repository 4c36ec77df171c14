"""Who hears what: events, the bounded outbox of each subscriber, and the audience of all connections.

A thread never waits for a subscriber. Each has an outbox of its own; when that fills, runs of text deltas of one item
become one delta (the same text in fewer messages). What then still does not fit is the subscriber's `Overflow` policy.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import trio
from attrs import define, evolve

from spindle.actors.delivery.long_answers import LargeAnswer, LongMessage
from spindle.rpc.protocol.envelope import encode_notification
from spindle.rpc.protocol.values import clean
from spindle.rpc.weighing import weigh, weigh_text

log = logging.getLogger("spindle")

if TYPE_CHECKING:
    from spindle.actors.delivery.snapshot import Snapshot

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


class Notification(Protocol):
    """Any notification class of the vocabulary."""

    METHOD: ClassVar[str]


class Event:
    """One notification on its way to any number of subscribers; encoded at most once."""

    __slots__ = ("_encoded", "mergeable", "params", "weight")

    def __init__(self, params: Any) -> None:
        self.params = params
        self.mergeable = params.METHOD in _MERGEABLE
        """Whether it is a delta that those behind it may be joined to."""
        self.weight = weigh_text(params.delta) if self.mergeable else weigh(params)
        """About the bytes it takes; of a delta, its text."""
        self._encoded: bytes | None = None

    @property
    def method(self) -> str:
        """The notification's name on the wire."""
        method: str = self.params.METHOD
        return method

    def encode(self) -> bytes:
        """The whole JSON-RPC message; a notification that cannot be encoded is replaced by a warning that says so."""
        if self._encoded is None:
            try:
                self._encoded = encode_notification(self.method, self.params)
            except Exception as error:
                from spindle.rpc.protocol.turns import WarningNotification

                why = f"a notification cannot be encoded and is missing: {self.method}: {error}"
                log.error("thread %s: %s", thread_id := getattr(self.params, "thread_id", None), why)
                warning = WarningNotification(None if thread_id is None else clean(thread_id), why)
                self._encoded = encode_notification(warning.METHOD, warning)
        return self._encoded


_MERGEABLE = {
    "item/agentMessage/delta": ("item_id",),
    "item/plan/delta": ("item_id",),
    "item/reasoning/textDelta": ("item_id", "content_index"),
    "item/reasoning/summaryTextDelta": ("item_id", "summary_index"),
    "item/commandExecution/outputDelta": ("item_id",),
}


Message = Event | bytes | LargeAnswer | LongMessage


def merge(messages: Iterable[Message]) -> Iterator[Message]:
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

    def announce_with_turns(self, params: Any, turns: Snapshot) -> None:
        """Send every member a notification with a thread in it, whose turns are read while it is written."""
        for member in self._members:
            if params.METHOD not in member.muted:
                member.outbox.put(LongMessage.notification(params, turns.again()))
