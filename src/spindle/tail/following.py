"""Follows the rollout of a thread: what was added to its turns since the last look. Everything blocks.

The file is looked at, and not watched: it may be on any file system, and any program may write it. Only the turns from the
first one that had not ended are read again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import Json, mapping, objects
from spindle.storage.home import Home
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.source import RolloutChanged
from spindle.storage.rollout.writer_lock import has_writer
from spindle.storage.threads.locate import locate_file
from spindle.tail.finding import rollout_of

LOCATED: Final = 2.0
"""Seconds after which the file is located again: a thread that is reverted continues in another one."""
_REMEMBERED: Final = 100
"""Turns that have ended, by whose ids the place is found again."""


@frozen
class TurnBegun:
    """A turn; its items follow."""

    turn: Json


@frozen
class ItemAdded:
    """An item of a turn is complete."""

    turn_id: str
    item: Json


@frozen
class TurnOver:
    """A turn has ended. `usage` is the thread's last `token_count` info, of the last turn only."""

    turn: Json
    usage: Json | None


@frozen
class Rewritten:
    """Turns that were shown are not in the thread any more."""


Added: TypeAlias = TurnBegun | ItemAdded | TurnOver | Rewritten


class Follower:
    """Follows one thread, from its last `turns` turns on."""

    def __init__(self, home: Home, thread_id: str, turns: int) -> None:
        self._home, self._thread_id, self._turns = home, thread_id, turns
        self._outliner = Outliner(find=lambda id: locate_file(home, id))
        self._path: Path | None = None
        self._located = 0.0
        self._seen: tuple[int, int, int] | None = None
        self._ended: list[str] | None = None
        self._items: dict[str, int] = {}
        """How many items of the turns that had not ended were given."""
        self._open = False

    @property
    def running(self) -> bool:
        """Whether a turn runs: the last one has not ended, and a process writes to the thread."""
        return self._open and has_writer(self._home.lock_file(self._thread_id))

    def look(self) -> Iterator[Added]:
        """What is new. Raises OSError; FileNotFoundError if the thread has been deleted."""
        path = self._locate()
        try:
            status = os.stat(path)
            seen = status.st_ino, status.st_size, status.st_mtime_ns
            if seen == self._seen:
                return
            with OpenRollout(path, self._outliner) as rollout:
                yield from self._new(rollout)
            self._seen = seen
        except (FileNotFoundError, RolloutChanged):  # moved, compressed or rewritten meanwhile: the next look finds it
            self._path = None

    def _locate(self) -> Path:
        now = time.monotonic()
        if self._path is None or now - self._located >= LOCATED:
            found = rollout_of(self._home, self._thread_id)
            if found is None:
                raise FileNotFoundError(f"thread {self._thread_id} has been deleted")
            self._path, self._located = found, now
        return self._path

    def _new(self, rollout: OpenRollout) -> Iterator[Added]:
        ids = rollout.outline.ids
        first, rewritten = self._first(ids, rollout.outline.cut_off)
        if rewritten:
            self._items.clear()
            yield Rewritten()
        for turn in rollout.turns(range(first, len(ids)), ids[-1] if ids else None):
            yield from self._turn(turn, last=turn["id"] == ids[-1], rollout=rollout)

    def _first(self, ids: list[str], cut_off: bool) -> tuple[int, bool]:
        """(the number of the first turn that had not ended, whether turns that had are gone)

        `cut_off` says that the last one has no end.
        """
        start = max(0, len(ids) - max(self._turns, int(cut_off)))
        if self._ended is None:
            self._ended = ids[:start][-_REMEMBERED:]
            return start, False
        places = {id: number for number, id in enumerate(ids)}
        gone = not self._items.keys() <= places.keys()
        while self._ended and self._ended[-1] not in places:
            self._ended.pop()
            gone = True
        if self._ended:
            return places[self._ended[-1]] + 1, gone
        return (start, True) if gone else (0, False)

    def _turn(self, turn: Json, *, last: bool, rollout: OpenRollout) -> Iterator[Added]:
        id = str(turn["id"])
        if id not in self._items:
            self._items[id] = 0
            yield TurnBegun(turn)
        items = objects(turn.get("items"))
        for item in items[self._items[id] :]:
            self._items[id] += 1
            yield ItemAdded(id, item)
        if last:
            self._open = turn.get("status") == "inProgress"
        if turn.get("status") != "inProgress":
            assert self._ended is not None
            self._ended = [*self._ended, id][-_REMEMBERED:]
            del self._items[id]
            yield TurnOver(turn, mapping(rollout.token_usage) or None if last else None)
