"""The shown turns of a thread at one moment, to be read later and piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from attrs import define, evolve, field

from spindle.rpc.weighing import weigh
from spindle.storage.rollout.reading import OpenRollout

Body = dict[str, Any]

_TURN = 100
"""Bytes that a turn yet to be read takes: its id, and its place in the outline."""


@define(eq=False)
class Snapshot:
    """Turns in the order they were taken, oldest first, numbered from 0. What happens later does not change them.

    It holds no file: the rollout is opened while turns are read, and has to be the same one then.

    `partial` is what has been said so far of an item that is not recorded yet; it belongs to the last turn.
    """

    ids: list[str]
    partial: Body | None = None
    _rollout: OpenRollout | None = field(default=None, alias="rollout")
    _live: str | None = field(default=None, alias="live")
    _rest: Sequence[Body] = field(default=(), alias="rest")

    @classmethod
    def of(cls, turns: Sequence[Body]) -> Self:
        """Of turns that are in memory."""
        return cls([turn["id"] for turn in turns], rest=turns)

    @classmethod
    def stored(cls, rollout: OpenRollout, live_turn_id: str | None = None) -> Self:
        """Of a rollout, which is the snapshot's to close."""
        rollout.rest()
        return cls(list(rollout.outline.ids), rollout=rollout, live=live_turn_id)

    def again(self) -> Self:
        """The same turns, to be read beside this one; those that came with opening the rollout stay here."""
        rollout = None if self._rollout is None else self._rollout.again()
        return evolve(self, ids=list(self.ids), rollout=rollout)

    def add(self, turn: Body) -> None:
        """A turn that began, and is not recorded yet."""
        self.ids.append(turn["id"])
        self._rest = (*self._rest, turn)

    def read(self, numbers: Sequence[int]) -> Iterator[Body]:
        """Some of the turns, by ascending number. Blocking. Raises OSError, RolloutChanged."""
        recorded = len(self.ids) - len(self._rest)
        if self._rollout is not None:
            inside = [number for number in numbers if number < recorded]
            try:
                for number, turn in zip(inside, self._rollout.turns(inside, self._live), strict=True):
                    yield self._with_partial(number, turn)
            finally:
                self._rollout.rest()
        for number in numbers:
            if number >= recorded:
                yield self._with_partial(number, self._rest[number - recorded])

    def _with_partial(self, number: int, turn: Body) -> Body:
        if self.partial is None or number != len(self.ids) - 1:
            return turn
        return turn | {"items": [*turn["items"], self.partial]}

    @property
    def weight(self) -> int:
        """About the bytes it holds once it is closed."""
        return _TURN * len(self.ids) + weigh(self._rest) + weigh(self.partial)

    def close(self) -> None:
        """Let go of turns that came with opening the rollout, and of a reading that was broken off; twice is fine."""
        if self._rollout is not None:
            self._rollout.close()
