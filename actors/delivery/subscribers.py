"""Subscribers of threads, and the broadcast to all connections of a runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.delivery.events import Event
from spindle.actors.delivery.long_answers import LongMessage
from spindle.actors.delivery.outbox import CAPACITY, Outbox, Overflow

if TYPE_CHECKING:
    from spindle.actors.delivery.snapshot import Snapshot


class Subscriber:
    """One subscriber of threads: a connection or an embedding task. Compared by identity.

    `muted` are the methods of notifications that it does not want.
    """

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
        """Whether it ends with its thread, and gets only questions from that thread's agents. So does an embedding task."""
        self.threads: set[str] = set()
        """Ids of the threads it is subscribed to. The threads keep this up to date."""
        self.asked: set[int] = set()
        """Ids of the open questions that are for it only."""

    def deliver(self, event: Event) -> None:
        """Put an event into the outbox, unless its method is muted."""
        if event.method not in self.muted:
            self.outbox.put(event)


class Audience:
    """All initialized connections of a runtime. They get every broadcast, whether subscribed to its thread or not."""

    def __init__(self) -> None:
        self._members: dict[Subscriber, None] = {}

    @property
    def size(self) -> int:
        """How many members there are."""
        return len(self._members)

    def join(self, member: Subscriber) -> None:
        """Add a member."""
        self._members[member] = None

    def leave(self, member: Subscriber) -> None:
        """Remove a member."""
        self._members.pop(member, None)

    def announce(self, params: Any) -> None:
        """Broadcast a notification."""
        event = Event(params)
        for member in self._members:
            member.deliver(event)

    def announce_with_turns(self, params: Any, turns: Snapshot) -> None:
        """Broadcast a notification with a thread in it. Its turns are read while it is sent."""
        for member in self._members:
            if params.METHOD not in member.muted:
                member.outbox.put(LongMessage.notification(params, turns.again()))
