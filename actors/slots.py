"""Which threads are loaded, and what to do about each: the registry's decisions, without tasks and without I/O.

Every method changes the table and returns the effects to carry out, in order; nothing here waits. One slot is one
incarnation of a thread:

    (absent) --open--> starting --started--> live --retire or close--> closing --gone--> (absent)

A thread asks for leave with `retire`; it gets it only if its mailbox has nothing it has not seen. While it is closing,
what is meant for it is held here, and handed out again once it is gone.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from attrs import define, field, frozen

from spindle.actors.mailbox import Address, MailboxFull

HELD = 256
"""Requests that may wait for a closing thread to be gone."""

Phase = Literal["starting", "live", "closing"]


@define(eq=False)
class Slot:
    """One incarnation of a thread."""

    thread_id: str
    generation: int
    address: Address | None
    phase: Phase = "starting"
    held: deque[object] = field(factory=lambda: deque[object]())
    announced: bool = False
    """Whether clients have heard of this incarnation, and so must hear of its end."""


@frozen
class Post:
    """Put `message` into `address`'s mailbox."""

    address: Address
    message: object


@frozen
class Stop:
    """Tell the thread behind `address` to end."""

    address: Address


@frozen
class Replay:
    """Route these again, in order: they waited for a thread that is gone now."""

    messages: tuple[object, ...]


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

    def route(self, thread_id: str, message: object) -> list[Effect] | None:
        """Bring `message` to the thread: post it, or hold it while the thread is closing. None if it is not loaded.

        Raises MailboxFull when too many wait already.
        """
        slot = self._slots.get(thread_id)
        if slot is None:
            return None
        if slot.phase == "closing":
            if len(slot.held) >= HELD:
                raise MailboxFull
            slot.held.append(message)
            return []
        assert slot.address is not None
        return [Post(slot.address, message)]

    def started(self, thread_id: str, generation: int) -> list[Effect]:
        """The thread is loaded."""
        slot = self._current(thread_id, generation)
        if slot is not None:
            slot.announced = True  # even if it has been told to end meanwhile: it answers what it was sent before
            if slot.phase == "starting":
                slot.phase = "live"
        return []

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

    def gone(self, thread_id: str, generation: int) -> list[Effect]:
        """The incarnation has ended, its files are closed and its children reaped."""
        slot = self._current(thread_id, generation)
        if slot is None:
            return []
        del self._slots[thread_id]
        effects: list[Effect] = [Announce(thread_id, slot.announced)]
        return [*effects, Replay(tuple(slot.held))] if slot.held else effects

    def _current(self, thread_id: str, generation: int) -> Slot | None:
        slot = self._slots.get(thread_id)
        return slot if slot is not None and slot.generation == generation else None

    @staticmethod
    def _end(slot: Slot) -> list[Effect]:
        slot.phase = "closing"
        assert slot.address is not None
        return [Stop(slot.address)]
