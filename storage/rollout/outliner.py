"""Store outlines and bring them up to date: only the bytes added since then are read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from spindle.storage.rollout.outline import Outline, Skim, fingerprint
from spindle.storage.rollout.source import Find, Source
from spindle.storage.rollout.turns import ShownTurn

_IN_MEMORY = 8
_WORTH_KEEPING = 256 * 1024
_BYTES = 32 * 1024 * 1024
_MANY_TURNS = 2000
_PUT_TOGETHER = 96 * 1024 * 1024
"""The most bytes of rollouts whose turns are in memory at the same time."""


class OutlineStore(Protocol):
    """Stores encoded outlines by path. Blocking; called from several worker threads. May lose them at any time."""

    def outline(self, path: Path) -> bytes | None:
        """The last stored outline of the file at `path`."""
        ...

    def keep_outline(self, path: Path, inode: int, size: int, data: bytes) -> None:
        """Store the outline of the first `size` bytes of the file; it replaces an earlier one."""
        ...


class MemoryOutlines:
    """Stores outlines in memory: the last used ones, up to 32 MiB."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def outline(self, path: Path) -> bytes | None:
        """See Outlines."""
        with self._lock:
            data = self._kept.get(path)
            if data is not None:
                self._kept.move_to_end(path)
            return data

    def keep_outline(self, path: Path, inode: int, size: int, data: bytes) -> None:
        """See Outlines."""
        with self._lock:
            self._bytes += len(data) - len(self._kept.pop(path, b""))
            self._kept[path] = data
            while self._bytes > _BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])


class Outliner:
    """Makes the current outline of a file. Blocking; for any number of worker threads.

    A caller for a file that is being read waits for that read. The last used outlines stay decoded.
    """

    def __init__(self, kept: OutlineStore | None = None, find: Find | None = None) -> None:
        """`find` locates the file that a rollout continues."""
        self.find = find
        self._kept = kept if kept is not None else MemoryOutlines()
        self._recent: OrderedDict[Path, Outline] = OrderedDict()
        self._sizes: dict[Path, int] = {}
        self._lock = threading.Lock()
        self._busy: dict[Path, tuple[threading.Lock, int]] = {}
        self._together = 0

    def of(self, source: Source, path: Path, *, with_turns: bool = False) -> tuple[Outline, list[ShownTurn] | None]:
        """The outline of an open rollout at `path`, and its turns if they are wanted and were built.

        They are built if the rollout must be read from its start, is not large, and not too many turns are in memory.
        The caller calls `turns_dropped` when it drops them. Raises OSError.
        """
        if with_turns:
            with_turns = self._may_hold(source.size)
        turns: list[ShownTurn] | None = None
        try:
            outline, turns = self._of(source, path, with_turns)
        finally:
            if with_turns and turns is None:
                self.turns_dropped(source.size)
        return outline, turns

    def turns_dropped(self, size: int) -> None:
        """The turns of a rollout of this size are dropped."""
        with self._lock:
            self._together -= size

    def _may_hold(self, size: int) -> bool:
        with self._lock:
            if self._together + size > _PUT_TOGETHER:
                return False
            self._together += size
            return True

    def _of(self, source: Source, path: Path, with_turns: bool) -> tuple[Outline, list[ShownTurn] | None]:
        with self._lock:
            lock, waiting = self._busy.get(path, (threading.Lock(), 0))
            self._busy[path] = lock, waiting + 1
        try:
            with lock:
                return self._current(source, path, with_turns)
        finally:
            with self._lock:
                lock, waiting = self._busy.pop(path)
                if waiting > 1:
                    self._busy[path] = lock, waiting - 1

    def is_long(self, path: Path) -> bool:
        """Whether the rollout is known to have so many turns that `settle` pays. Does not block."""
        with self._lock:
            known = self._recent.get(path)
        return known is not None and len(known.ids) >= _MANY_TURNS

    def settle(self, path: Path) -> None:
        """Store the current outline of the file: with many turns, extending an older one takes long.

        Never raises: a missing outline is made again.
        """
        with suppress(OSError), closing(Source(path, self.find)) as source:
            outline, _ = self.of(source, path)
            with self._lock:
                kept = self._sizes.get(path)
            if kept != outline.end:
                self._kept.keep_outline(path, outline.inode, outline.end, outline.encode())
                self._remember(path, outline, outline.end)

    def _current(self, source: Source, path: Path, with_turns: bool) -> tuple[Outline, list[ShownTurn] | None]:
        with self._lock:
            known = self._recent.get(path)
        if known is None or not _fits(known, source):
            data = self._kept.outline(path)
            known = None if data is None else Outline.decode(data)
            if known is not None and _fits(known, source):
                self._remember(path, known, known.end)
            else:
                known = None
        if known is not None and source.size == known.end:
            return known, None
        skim = Skim(source, known, light=known is not None or not with_turns)
        outline = skim.run()
        with self._lock:
            kept = self._sizes.get(path, 0)
        if known is None or outline.end - kept >= _WORTH_KEEPING:
            self._kept.keep_outline(path, outline.inode, outline.end, outline.encode())
            kept = outline.end
        self._remember(path, outline, kept)
        return outline, skim.turns if known is None and with_turns else None

    def _remember(self, path: Path, outline: Outline, kept: int) -> None:
        with self._lock:
            self._recent[path] = outline
            self._recent.move_to_end(path)
            self._sizes[path] = kept
            while len(self._recent) > _IN_MEMORY:
                forgotten, _ = self._recent.popitem(last=False)
                self._sizes.pop(forgotten, None)


def holds(outline: Outline, source: Source) -> bool:
    """Whether the rollout starts with the bytes of the outline. Raises OSError."""
    return source.size >= outline.end and fingerprint(source, outline.end) == outline.fingerprint


def _fits(outline: Outline, source: Source) -> bool:
    return source.inode == outline.inode and holds(outline, source)
