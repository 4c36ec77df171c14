"""The streams of one handle: each turn and each `events()` has a bounded queue of its own, and lags alone."""

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


class Events:
    """What reaches a handle from here on, event by event; a cancelled iteration loses none. One task at a time may take.

    Raises SubscriberLagged once the events were not taken as fast as they came. An abandoned stream holds nothing up, and
    its events are freed with it, or when they are too many.
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
            raise trio.BusyResourceError("another task is taking events from this stream")
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
        """End the stream, and free what it holds; for `contextlib.aclosing`."""
        self.end()

    def end(self) -> None:
        """The same at once."""
        self._taken.clear()
        self._outbox.discard()

    # -- what the handle's streams do with each

    def put(self, event: Message) -> bool:
        """Add an event. Returns False for a stream that takes no more, with what it held freed."""
        self._outbox.put(event)
        if self._outbox.overflowed:
            self._outbox.discard()
        return not self._outbox.closed

    def close(self) -> None:
        """No more events come; those that wait may still be taken."""
        self._outbox.close()

    async def room(self) -> None:
        """Wait a moment for a reader that is behind; a stream that nobody has begun to read is not waited for."""
        if self._begun:
            await self._outbox.room()


def _seen(event: Event) -> Any:
    """What an application gets of an event: the notification, or a question that it can answer."""
    return event if isinstance(event, Question) else event.params


class Streams(Outbox):
    """The outbox of a handle's subscriber: it passes on what it is given to each stream that is open.

    The first stream begins with the subscription, so that nothing is lost between entering the block and opening it. Each
    later one begins with the questions that are open. `asked` is called with every question.
    """

    def __init__(self, asked: Callable[[Question], None]) -> None:
        super().__init__(Overflow.CLOSE)
        self._asked = asked
        self._questions: list[Question] = []
        self._first: Events | None = _stream()
        self._open: WeakSet[Events] = WeakSet([self._first])

    def stream(self) -> Events:
        """One more stream."""
        first, self._first = self._first, None
        if first is not None:
            return first
        stream = _stream()
        for question in self._questions:
            if not question.settled:
                stream.put(question)
        self._open.add(stream)
        return stream

    def put(self, message: Message) -> None:
        """Pass it on; never waits."""
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
        """The thread or the block has ended, and with it every stream."""
        super().close()
        for stream in tuple(self._open):
            stream.close()


def _stream() -> Events:
    return Events(Outbox(Overflow.CLOSE, CAPACITY))
