"""The events of one turn, kept once for any number of readers, within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import trio

from spindle.actors.delivery.events import Event, Message, merge
from spindle.actors.delivery.outbox import CAPACITY, PATIENCE, WEIGHT
from spindle.actors.embedding import events
from spindle.actors.embedding.failures import SubscriberLagged
from spindle.actors.embedding.questions import Asked
from spindle.rpc.protocol.items import AgentMessageItem
from spindle.rpc.protocol.turns import (
    AgentMessageDeltaNotification,
    ItemCompletedNotification,
    ItemStartedNotification,
    TurnCompletedNotification,
    TurnStartedNotification,
)

KEPT = 4 * 1024 * 1024
"""Bytes of events that are kept, without the largest event."""


class TurnLog:
    """The events of a turn, as far as they are kept. `Streams` puts them in.

    When there are more than `CAPACITY`, consecutive deltas of one item are merged; if that is not enough, or there are more
    than `KEPT` bytes, the oldest are dropped. A reader that has not read those lags. Others do not notice.
    """

    def __init__(self, *, closed: bool = False) -> None:
        self._events: deque[Event] = deque()
        self._first = 0
        """The number of the oldest event that is kept; they are numbered from 0."""
        self._weight = self._largest = self._put = 0
        self._merged_at = CAPACITY
        self._ready = trio.lowlevel.ParkingLot()
        self._caught_up = trio.lowlevel.ParkingLot()
        self._readers: WeakSet[TurnEvents] = WeakSet()
        self.closed = closed

    def put(self, message: Message) -> bool:
        """Add an event. Returns False if the log is closed. Never waits."""
        if self.closed or not isinstance(message, Event):
            return not self.closed
        self._events.append(message)
        self._weight += message.weight
        self._put += message.weight
        if message.weight > self._largest:
            self._largest = message.weight
        if len(self._events) > self._merged_at:
            self._merge()
        while self._weight - self._largest > KEPT:
            self._drop()
        if self._ready:
            self._ready.unpark_all()
        return True

    def close(self) -> None:
        """Accept no more events: the turn, the thread or the handle's block has ended. What is kept can still be read."""
        self.closed = True
        self._ready.unpark_all()
        self._caught_up.unpark_all()

    async def room(self) -> None:
        """Wait a moment for readers that are far behind, and not again before they have read something."""
        if self._put <= WEIGHT or not self._far_behind():
            return
        with trio.move_on_after(PATIENCE) as waiting:
            while not self.closed and self._far_behind():
                await self._caught_up.park()
        if waiting.cancelled_caught:
            for reader in self._far_behind():
                reader.stalled = True

    def _far_behind(self) -> list[TurnEvents]:
        return [reader for reader in self._readers if not reader.stalled and self._put - reader.read > WEIGHT]

    def text(self) -> str:
        """The text so far of the agent's last message."""
        parts: list[str] = []
        item: str | None = None
        for event in reversed(self._events):
            match event.params:
                case AgentMessageDeltaNotification(item_id=id, delta=delta) if item in (None, id):
                    item = id
                    parts.append(delta)
                case ItemStartedNotification(item=AgentMessageItem(id=id)) if id == item:
                    break
                case ItemCompletedNotification(item=AgentMessageItem(text=text)) if item is None:
                    return text
                case _:
                    pass
        return "".join(reversed(parts))

    def _merge(self) -> None:
        """Merge deltas, but none that a reader has read with one that it has not."""
        events, merged = list(self._events), list[Any]()
        places = dict.fromkeys(sorted({max(0, reader.at - self._first) for reader in self._readers} | {len(events)}), 0)
        begin = 0
        for place in places:
            merged += merge(events[begin:place])
            places[place], begin = len(merged), place
        for reader in self._readers:
            if reader.at >= self._first:
                reader.at = self._first + places[reader.at - self._first]
        self._events = deque(merged)
        self._weight = sum(event.weight for event in self._events)
        self._largest = max(event.weight for event in self._events)
        while len(self._events) > CAPACITY:
            self._drop()
        # merging again before this many more have arrived would be quadratic
        self._merged_at = max(CAPACITY, len(self._events) + CAPACITY // 4)

    def _drop(self) -> None:
        dropped = self._events.popleft()
        self._first += 1
        self._weight -= dropped.weight
        if dropped.weight == self._largest:
            self._largest = max((event.weight for event in self._events), default=0)

    # -- readers

    def read(self, thread_id: str, turn_id: str, ended: Callable[[], None]) -> TurnEvents:
        """A reader, from the first event on. `ended` is called when it has read all; it may raise what ends the iteration."""
        reader = TurnEvents(self, self._put - self._weight, thread_id, turn_id, ended)
        self._readers.add(reader)
        return reader

    def take(self, reader: TurnEvents) -> Event | None:
        """The next event for a reader; None if there is none now. Raises SubscriberLagged."""
        place = reader.at - self._first
        if place < 0:
            self._readers.discard(reader)
            raise SubscriberLagged
        if place == len(self._events):
            return None
        if self._caught_up:
            self._caught_up.unpark_all()
        return self._events[place]

    async def wait(self) -> None:
        """Wait for an event, or for the end."""
        await self._ready.park()


class TurnEvents:
    """An iterator over the events of a turn."""

    def __init__(self, log: TurnLog, read: int, thread_id: str, turn_id: str, ended: Callable[[], None]) -> None:
        self._log, self._thread_id, self._turn_id, self._ended = log, thread_id, turn_id, ended
        self.at = 0
        """The number of the event that is read next."""
        self.read = read
        """How many of the bytes that were put in are not ahead of it."""
        self.stalled = True
        """Whether turns do not wait for it: it has read nothing yet, or nothing since they did."""

    def __aiter__(self) -> TurnEvents:
        return self

    async def __anext__(self) -> events.Event:
        while True:
            event = self._log.take(self)
            if event is not None:
                self.at += 1
                self.read += event.weight
                self.stalled = False
                seen = events.seen(event)
                if self._shows(seen):
                    return seen
            elif self._log.closed:
                self._ended()
                raise StopAsyncIteration
            else:
                await self._log.wait()

    def _shows(self, event: events.Event) -> bool:
        """Not an event of another turn. Questions of the thread's agents are shown: they may have no other subscriber."""
        turn_id = getattr(event, "turn_id", None)
        if turn_id == self._turn_id or (isinstance(event, Asked) and event.thread_id != self._thread_id):
            return True
        if isinstance(event, TurnStartedNotification | TurnCompletedNotification):
            return event.turn.id == self._turn_id
        return turn_id is None
