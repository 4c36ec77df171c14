"""The turns of a thread at one moment, as clients see them, to be read later and in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from attrs import define, evolve, field

from spindle.rpc.weighing import weigh
from spindle.storage.rollout.reading import OpenRollout

Body = dict[str, Any]

_TURN = 100
"""Bytes that a turn takes before it is read: its id and its place in the outline."""


@define(eq=False)
class Snapshot:
    """Turns in order, oldest first, numbered from 0. Later events do not change them.

    It holds no open file: the rollout is opened while turns are read, and must still be the same file.

    `partial` is the beginning of an item that is still streaming. It belongs to the last turn.
    """

    ids: list[str]
    partial: Body | None = None
    _rollout: OpenRollout | None = field(default=None, alias="rollout")
    _live: str | None = field(default=None, alias="live")
    _rest: Sequence[Body] = field(default=(), alias="rest")

    @classmethod
    def of(cls, turns: Sequence[Body]) -> Self:
        """A snapshot of turns that are in memory."""
        return cls([turn["id"] for turn in turns], rest=turns)

    @classmethod
    def stored(cls, rollout: OpenRollout, live_turn_id: str | None = None) -> Self:
        """A snapshot of the turns in a rollout. The snapshot closes the rollout."""
        rollout.rest()
        return cls(list(rollout.outline.ids), rollout=rollout, live=live_turn_id)

    def again(self) -> Self:
        """The same turns, to be read independently. Turns that were read when the rollout was opened stay with this one."""
        rollout = None if self._rollout is None else self._rollout.again()
        return evolve(self, ids=list(self.ids), rollout=rollout)

    def add(self, turn: Body) -> None:
        """Add a turn that has started and is not recorded yet."""
        self.ids.append(turn["id"])
        self._rest = (*self._rest, turn)

    def read(self, numbers: Sequence[int]) -> Iterator[Body]:
        """The turns with these numbers, which ascend. Blocks. Raises OSError, RolloutChanged."""
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
        """About how many bytes it holds once it is closed."""
        return _TURN * len(self.ids) + weigh(self._rest) + weigh(self.partial)

    def close(self) -> None:
        """Free the turns that were read when the rollout was opened, and an unfinished read. May be called twice."""
        if self._rollout is not None:
            self._rollout.close()
