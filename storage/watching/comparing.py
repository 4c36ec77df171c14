"""Changes by comparison, on systems without inotify: each call reads the status of all watched paths."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Final, TypeAlias

from spindle.storage.watching.watched import Changes, Watched, report

ENTRIES: Final = 10_000
"""The most entries of a folder that are compared; of a larger one, only names that come and go are noticed."""

_State: TypeAlias = Mapping[str, tuple[int, ...]]


class Comparing:
    """See `Watcher`."""

    fd: int | None = None

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[Watched, _State] = {}

    def add(self, watched: Watched) -> None:
        """See `Watcher`."""
        state = _state(watched.path)
        with self._lock:
            if not watched.dropped:
                self._states[watched] = state

    def drop(self, watched: Watched) -> None:
        """See `Watcher`."""
        with self._lock:
            watched.dropped = True
            self._states.pop(watched, None)

    def collect(self) -> Changes:
        """See `Watcher`."""
        with self._lock:
            before = dict(self._states)
        changes: dict[Watched, list[str]] = {}
        for watched, old in before.items():
            new = _state(watched.path)
            paths = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
            if len(paths) > 1 and watched.path in old and watched.path in new:
                paths.discard(watched.path)  # the folder's own times change with the names in it
            if paths:
                changes[watched] = [*report(watched, paths)]
            with self._lock:
                if not watched.dropped:
                    self._states[watched] = new
        return changes

    def close(self) -> None:
        """See `Watcher`."""


def _state(path: str) -> _State:
    found: dict[str, tuple[int, ...]] = {}
    try:
        found[path] = _identity(os.stat(path))
        with os.scandir(path) as rows:
            for row in rows:
                if len(found) > ENTRIES:
                    break
                try:
                    found[row.path] = _identity(row.stat())
                except OSError:
                    found[row.path] = ()
    except OSError:
        pass
    return found


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns
