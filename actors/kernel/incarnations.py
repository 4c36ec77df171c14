"""The table of incarnations: which ids have a live actor, and what to do about each. Decisions only: no tasks, no I/O.

Every method returns the effects to carry out, in order. One id lives like this:

    (absent) --open--> starting --begun--> live --retire or close--> closing --gone--> (absent)
    (absent) --occupy--> occupied --gone--> (absent)

An actor may leave (`retire`) only if its mailbox holds nothing that it has not seen. While it is away, or has crashed, what is
routed to it is held, and replayed when the id is free. A message that may end an actor is parked until that is decided.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Generic, Literal, TypeVar

from attrs import define, field, frozen

from spindle.actors.kernel.mailbox import Mailbox, MailboxFull

K = TypeVar("K", bound=Hashable)
HELD = 256
"""Messages that may be held for one id; urgent ones are held in any number."""
Phase = Literal["starting", "live", "occupied", "closing"]
AWAY: frozenset[Phase] = frozenset({"occupied", "closing"})  # nothing can be posted


@define(eq=False)
class Incarnation:
    """One life of the actor behind an id. `held` is what waits for it, oldest first."""

    generation: int
    mailbox: Mailbox | None
    phase: Phase = "starting"
    held: list[object] = field(factory=list[object])

    @property
    def begun(self) -> bool:
        """Whether the actor has started, so that its end must be announced."""
        return self.mailbox is not None and self.mailbox.begun


@frozen
class Post:
    """Put `message` into `mailbox`."""

    mailbox: Mailbox
    message: Any


@frozen
class Stop:
    """Tell the actor of `mailbox` to end."""

    mailbox: Mailbox


@frozen
class Replay:
    """Route these again, in order, before all that comes now: what they waited for is over."""

    messages: tuple[Any, ...]


@frozen
class Announce(Generic[K]):
    """Announce the end of an incarnation; one that has never `begun` was not announced before."""

    key: K
    begun: bool


Effect = Post | Stop | Replay | Announce[Any]


class Incarnations(Generic[K]):
    """The table, by id."""

    def __init__(self) -> None:
        self._table: dict[K, Incarnation] = {}
        self._generation = 0

    def __iter__(self) -> Iterator[K]:
        return iter(self._table)

    def phase(self, key: K) -> Phase | None:
        """The phase that the id is in; None if it is absent."""
        one = self._table.get(key)
        return None if one is None else "live" if one.phase == "starting" and one.begun else one.phase

    def open(self, key: K, mailbox: Mailbox | None) -> int:
        """Enter a new incarnation and return its generation. Raises ValueError unless the id is absent."""
        if key in self._table:
            raise ValueError(f"{key} has an incarnation already")
        self._generation += 1
        self._table[key] = Incarnation(self._generation, mailbox)
        return self._generation

    def occupy(self, key: K) -> int:
        """Keep an absent id from being opened until `gone` with the returned generation; messages are held meanwhile."""
        generation = self.open(key, None)
        self._table[key].phase = "occupied"
        return generation

    def route(self, key: K, message: object, *, urgent: bool = False) -> list[Effect] | None:
        """Post `message`, or hold it while the actor is away. None if the id is absent.

        Raises MailboxFull when too many are held already, unless it is `urgent`.
        """
        one = self._table.get(key)
        if one is None:
            return None
        if one.phase in AWAY or one.held or not (one.mailbox is None or one.mailbox.attended):
            if not urgent and len(one.held) >= HELD:
                raise MailboxFull
            one.held.append(message)
            return []
        assert one.mailbox is not None
        return [Post(one.mailbox, message)]

    def park(self, key: K, message: object) -> int | None:
        """Hold `message` and all that comes after it. Returns the generation to `unpark`; None, to replay, while starting."""
        one = self._table[key]
        if one.phase in AWAY or one.held:
            raise ValueError(f"messages for {key} are held already")
        one.held.append(message)
        return one.generation if one.begun else None

    def unpark(self, key: K, generation: int, *, end: bool) -> list[Effect] | None:
        """End the actor for the parked message, which stays held; or drop it and replay the rest. None if it ends anyway."""
        one = self._current(key, generation)
        if one is None or one.phase in AWAY:
            return None
        if end:
            return _end(one)
        del one.held[0]
        return _replay(one)

    def started(self, key: K, generation: int) -> list[Effect]:
        """The actor has begun: what was parked while it was starting is due. Needed only if something was."""
        one = self._current(key, generation)
        if one is None or one.phase != "starting":
            return []
        one.phase = "live"
        return _replay(one)

    def retire(self, key: K, generation: int, seen: int) -> list[Effect]:
        """The actor asks to leave and has seen `seen` messages: granted unless another one is on its way."""
        one = self._current(key, generation)
        if one is None or one.phase in AWAY or one.mailbox is None or not one.begun or one.mailbox.accepted != seen:
            return []
        return _end(one)

    def close(self, key: K) -> list[Effect]:
        """End the actor, unless it is ending."""
        one = self._table.get(key)
        return [] if one is None or one.phase in AWAY else _end(one)

    def gone(self, key: K, generation: int) -> list[Effect]:
        """The incarnation has ended: nothing of it is left."""
        one = self._current(key, generation)
        if one is None:
            return []
        del self._table[key]
        return [Announce(key, one.begun), *_replay(one)]

    def _current(self, key: K, generation: int) -> Incarnation | None:
        one = self._table.get(key)
        return one if one is not None and one.generation == generation else None


def _replay(one: Incarnation) -> list[Effect]:
    held, one.held = one.held, []
    return [Replay(tuple(held))] if held else []


def _end(one: Incarnation) -> list[Effect]:
    one.phase = "closing"
    assert one.mailbox is not None
    return [Stop(one.mailbox)]
