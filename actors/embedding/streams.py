"""The streams of one handle: each turn and each `events()` has a bounded outbox of its own, and overflows alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

import trio

from spindle.actors.delivery import events as delivery
from spindle.actors.delivery.events import Message
from spindle.actors.delivery.outbox import CAPACITY, Outbox, Overflow
from spindle.actors.delivery.questions import Question
from spindle.actors.embedding.events import Event, seen
from spindle.actors.embedding.failures import SubscriberLagged


class Events:
    """The events of a handle from now on. A cancelled iteration loses none. Only one task at a time may iterate.

    Iterating raises SubscriberLagged when events were not read as fast as they arrived. An abandoned stream blocks nothing; its
    events are freed with it, or when it overflows.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._taken: deque[Event] = deque()
        self._taking = False
        self._begun = False

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        if self._taking:
            raise trio.BusyResourceError("another task is reading this stream")
        self._taking = self._begun = True
        try:
            while not self._taken:
                taken = await self._outbox.take()
                if not taken:
                    if self._outbox.overflowed:
                        raise SubscriberLagged
                    raise StopAsyncIteration
                self._taken.extend(seen(event) for event in taken if isinstance(event, delivery.Event))
            return self._taken.popleft()
        finally:
            self._taking = False

    async def aclose(self) -> None:
        """End the stream and free its events. For `contextlib.aclosing`."""
        self.end()

    def end(self) -> None:
        """End the stream and free its events, without waiting."""
        self._taken.clear()
        self._outbox.discard()

    # -- called by the handle's `Streams`

    def drain(self) -> list[Message]:
        """End a stream that was never read, and return its events."""
        return self._outbox.drain()

    def put(self, message: Message) -> bool:
        """Add an event. Returns False if the stream has ended or overflows; its events are freed then."""
        self._outbox.put(message)
        if self._outbox.overflowed:
            self._outbox.discard()
        return not self._outbox.closed

    def close(self) -> None:
        """Accept no more events. Those in the stream can still be read."""
        self._outbox.close()

    async def room(self) -> None:
        """Wait a moment for a reader that is behind. Does not wait for a stream that was never read."""
        if self._begun:
            await self._outbox.room()


class Sink(Protocol):
    """What `Streams` passes messages on to."""

    def put(self, message: Message) -> bool:
        """Take a message. Returns False if it takes no more."""
        ...

    def close(self) -> None:
        """Take no more messages."""

    async def room(self) -> None:
        """Wait a moment for a reader that is behind."""


class Questions(Events):
    """The questions of a thread and of its agents, and calls of its dynamic tools."""

    def __init__(self) -> None:
        super().__init__(Outbox(Overflow.CLOSE))

    def put(self, message: Message) -> bool:
        """See `Sink`."""
        return super().put(message) if isinstance(message, Question) else not self._outbox.closed


class Streams(Outbox):
    """The outbox of a handle's subscriber: it passes each message on to every open stream.

    The first stream has all events since the subscription, so that none is lost between entering the block and opening the
    stream. A later one begins with the open questions. `asked` is called with every question.
    """

    def __init__(self, asked: Callable[[Question], None]) -> None:
        super().__init__(Overflow.CLOSE)
        self._asked = asked
        self._questions: list[Question] = []
        self._first: Events | None = _stream()
        self._open: WeakSet[Sink] = WeakSet()
        self._open.add(self._first)

    def stream(self) -> Events:
        """Open a stream."""
        if (first := self._first) is not None:
            self._first = None
            return first
        stream = _stream()
        self.open(stream)
        return stream

    @property
    def read(self) -> bool:
        """Whether a stream is open from which the application may answer."""
        return any(each is not self._first and not isinstance(each, Questions) for each in self._open)

    def open(self, sink: Sink) -> None:
        """Pass messages on to `sink` too, known by a weak reference. It begins as a stream does."""
        first, self._first = self._first, None
        begin = [each for each in self._questions if not each.settled] if first is None else first.drain()
        for message in begin:
            sink.put(message)
        self._open.add(sink)

    def put(self, message: Message) -> None:
        """Pass a message on. Never waits."""
        if self.closed:
            return
        for stream in tuple(self._open):
            if not stream.put(message):
                self._open.discard(stream)
        if isinstance(message, Question):
            self._questions = [*(question for question in self._questions if not question.settled), message]
            self._asked(message)

    async def room(self) -> None:
        """Wait a moment for each reader that is behind."""
        for stream in tuple(self._open):
            await stream.room()

    def close(self) -> None:
        """Close every stream: the thread or the block has ended."""
        super().close()
        for stream in tuple(self._open):
            stream.close()


def _stream() -> Events:
    return Events(Outbox(Overflow.CLOSE, CAPACITY))
