"""The streams of one handle: each turn and each `events()` has a bounded outbox of its own, and overflows alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import trio

from spindle.actors.delivery.events import Event, Message
from spindle.actors.delivery.outbox import CAPACITY, Outbox, Overflow
from spindle.actors.delivery.questions import Question
from spindle.actors.embedding.failures import SubscriberLagged
from spindle.actors.embedding.questions import shown


class Events:
    """The events of a handle from now on. A cancelled iteration loses none. Only one task at a time may iterate.

    Iterating raises SubscriberLagged when events were not read as fast as they arrived. An abandoned stream blocks nothing; its
    events are freed with it, or when it overflows.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._taken: deque[Any] = deque()
        self._taking = False
        self._begun = False

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Any:
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
                self._taken.extend(_seen(event) for event in taken if isinstance(event, Event))
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

    def put(self, event: Message) -> bool:
        """Add an event. Returns False if the stream has ended or overflows; its events are freed then."""
        self._outbox.put(event)
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


def _seen(event: Event) -> Any:
    """An event for an application: the notification, or a question that it can answer."""
    return shown(event) if isinstance(event, Question) else event.params


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
        self._open: WeakSet[Events] = WeakSet([self._first])

    def stream(self) -> Events:
        """Open a stream."""
        first, self._first = self._first, None
        if first is not None:
            return first
        stream = _stream()
        for question in self._questions:
            if not question.settled:
                stream.put(question)
        self._open.add(stream)
        return stream

    @property
    def count(self) -> int:
        """How many streams are open, besides the first one as long as it is not used."""
        return len(self._open) - (self._first is not None)

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
