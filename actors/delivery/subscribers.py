"""Subscribers of threads, and the broadcast to all connections of a runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.delivery.events import Event
from spindle.actors.delivery.long_answers import LongMessage
from spindle.actors.delivery.outbox import CAPACITY, Outbox, Overflow

if TYPE_CHECKING:
    from spindle.actors.delivery.snapshot import Snapshot


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
