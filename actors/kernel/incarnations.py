"""Which threads are loaded, and what to do about each: the registry's decisions, without tasks and without I/O.

Every method changes the table and returns the effects to carry out, in order; nothing here waits. One slot is one
incarnation of a thread:

    (absent) --open--> starting --started--> live --retire, close or ending--> closing --gone--> (absent)

A thread asks for leave with `retire`; it gets it only if its mailbox has nothing it has not seen. One that crashes is
closing from then on. While it is closing, what is meant for it is held here, and handed out again once it is gone. What
may end a thread can be parked before: then it and all behind it is held while the thread goes on, until it is decided.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

from attrs import define, field, frozen

from spindle.actors.kernel.mailbox import Address, MailboxFull

HELD = 256
"""Requests that may wait for a thread; what ends or releases something waits in any number."""

Phase = Literal["starting", "live", "closing"]


@define(eq=False)
class Slot:
    """One incarnation of a thread."""

    thread_id: str
    generation: int
    address: Address | None
    phase: Phase = "starting"
    held: deque[object] = field(factory=lambda: deque[object]())
    """What waits, oldest first: while it is closing all that comes, before that a parked message and all behind it."""
    announced: bool = False
    """Whether clients have heard of this incarnation, and so must hear of its end."""


@frozen
class Post:
    """The thread behind `address` takes messages: `message` may be put into its mailbox."""

    address: Address
    message: Any


@frozen
class Stop:
    """Tell the thread behind `address` to end."""

    address: Address


@frozen
class Replay:
    """Route these again, in order, before all that comes now: what they waited for is over."""

    messages: tuple[Any, ...]


@frozen
class Announce:
    """Say that the thread is closed; `loaded` is False for one that never finished loading, of which nothing was said."""

    thread_id: str
    loaded: bool


Effect = Post | Stop | Replay | Announce


class Slots:
    """The table."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._generation = 0

    def __contains__(self, thread_id: str) -> bool:
        return thread_id in self._slots

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def loaded(self) -> list[str]:
        """Ids of the threads that are loaded or loading, ascending."""
        return sorted(id for id, slot in self._slots.items() if slot.phase != "closing")

    def is_open(self, thread_id: str) -> bool:
        """Whether the thread takes messages: it is loaded or loading, and has not been told to end."""
        slot = self._slots.get(thread_id)
        return slot is not None and slot.phase != "closing"

    def open(self, thread_id: str, address: Address | None) -> int:
        """Enter a new incarnation; returns its generation. The id must be absent."""
        if thread_id in self._slots:
            raise ValueError(f"thread {thread_id} is loaded already")
        self._generation += 1
        self._slots[thread_id] = Slot(thread_id, self._generation, address)
        return self._generation

    def occupy(self, thread_id: str) -> int:
        """Keep an absent thread from being loaded until `gone` is said of the returned generation; messages are held."""
        generation = self.open(thread_id, None)
        slot = self._slots[thread_id]
        slot.phase, slot.announced = "closing", False
        return generation

    def route(self, thread_id: str, message: object, *, urgent: bool = False) -> list[Effect] | None:
        """Bring `message` to the thread: post it, or hold it while the thread is closing. None if it is not loaded.

        Raises MailboxFull when too many wait already, unless it is `urgent`.
        """
        slot = self._slots.get(thread_id)
        if slot is None:
            return None
        if slot.phase == "closing" or slot.held:
            if not urgent and len(slot.held) >= HELD:
                raise MailboxFull
            slot.held.append(message)
            return []
        assert slot.address is not None
        return [Post(slot.address, message)]

    def park(self, thread_id: str, message: object) -> int | None:
        """Hold `message`, which was to be posted, and all that comes after it.

        Returns the generation to `unpark` when it is decided what becomes of the thread; None while the thread is loading:
        it is then routed again as soon as that is over.
        """
        slot = self._slots[thread_id]
        if slot.phase == "closing" or slot.held:
            raise ValueError(f"messages for thread {thread_id} are held already")
        slot.held.append(message)
        return slot.generation if slot.phase == "live" else None

    def unpark(self, thread_id: str, generation: int, *, end: bool) -> list[Effect] | None:
        """End the thread for what was parked, which is held until it is gone, or drop that and go on with the rest.

        None if the thread ends or has ended already: what was parked is routed again because of that.
        """
        slot = self._current(thread_id, generation)
        if slot is None or slot.phase != "live":
            return None
        if end:
            return self._end(slot)
        slot.held.popleft()
        return self._replay(slot)

    def started(self, thread_id: str, generation: int) -> list[Effect]:
        """The thread is loaded."""
        slot = self._current(thread_id, generation)
        if slot is None:
            return []
        slot.announced = True  # even if it has been told to end meanwhile: it answers what it was sent before
        if slot.phase != "starting":
            return []
        slot.phase = "live"
        return self._replay(slot)

    def retire(self, thread_id: str, generation: int, seen: int) -> list[Effect]:
        """The thread asks for leave, having seen `seen` messages: granted unless one is on its way."""
        slot = self._current(thread_id, generation)
        if slot is None or slot.phase != "live" or slot.address is None or slot.address.accepted != seen:
            return []
        return self._end(slot)

    def close(self, thread_id: str) -> list[Effect]:
        """End the thread whatever it is doing."""
        slot = self._slots.get(thread_id)
        return [] if slot is None or slot.phase == "closing" else self._end(slot)

    def ending(self, thread_id: str, generation: int) -> None:
        """The thread handles no more messages, be it that it has crashed; it lets go of what it holds."""
        slot = self._current(thread_id, generation)
        if slot is not None:
            slot.phase = "closing"

    def gone(self, thread_id: str, generation: int) -> list[Effect]:
        """The incarnation has ended, its files are closed and its children reaped."""
        slot = self._current(thread_id, generation)
        if slot is None:
            return []
        del self._slots[thread_id]
        return [Announce(thread_id, slot.announced), *self._replay(slot)]

    def is_announced(self, thread_id: str) -> bool:
        """Whether clients know of the thread's incarnation."""
        slot = self._slots.get(thread_id)
        return slot is not None and slot.announced

    def _current(self, thread_id: str, generation: int) -> Slot | None:
        slot = self._slots.get(thread_id)
        return slot if slot is not None and slot.generation == generation else None

    @staticmethod
    def _replay(slot: Slot) -> list[Effect]:
        held, slot.held = slot.held, deque()
        return [Replay(tuple(held))] if held else []

    @staticmethod
    def _end(slot: Slot) -> list[Effect]:
        slot.phase = "closing"
        assert slot.address is not None
        return [Stop(slot.address)]
