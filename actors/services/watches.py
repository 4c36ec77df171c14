"""Watched files and folders: one watcher of the system for a runtime, opened when the first path is watched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import trio

from spindle.actors.tasks.boundary import start_apart
from spindle.storage.watching import Watched, Watcher, open_watcher

log = logging.getLogger("spindle")

TOGETHER = 0.2
"""Seconds after a change in which more are collected for the same report."""
BETWEEN = 1.0
"""Seconds between two comparisons, on systems that report no changes."""

Notify: TypeAlias = Callable[[Sequence[str]], None]
"""Called in the trio thread with the sorted paths that have changed."""


class Watches:
    """What is watched, and who is notified."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """`nursery` runs what waits for changes."""
        self._nursery = nursery
        self._watcher: Watcher | None = None
        self._notify: dict[Watched, Notify] = {}

    async def add(self, watched: Watched, notify: Notify) -> None:
        """Watch a path until `drop`. Raises OSError where the system refuses.

        A call that is cancelled must be followed by `drop`.
        """
        if self._watcher is None:
            self._watcher = open_watcher()  # two system calls that do not wait
            start_apart(self._nursery, "watching files", self._run, self._watcher)
        await trio.to_thread.run_sync(self._watcher.add, watched, abandon_on_cancel=True)
        if not watched.dropped:
            self._notify[watched] = notify

    def drop(self, watched: Watched) -> None:
        """Watch it no longer. Nothing is notified after this."""
        self._notify.pop(watched, None)
        watched.dropped = True
        if self._watcher is not None:
            self._watcher.drop(watched)

    async def _run(self, watcher: Watcher) -> None:
        try:
            while True:
                if watcher.fd is None:
                    await trio.sleep(BETWEEN)
                else:
                    await trio.lowlevel.wait_readable(watcher.fd)
                    await trio.sleep(TOGETHER)
                changes = await trio.to_thread.run_sync(watcher.collect)
                for watched, paths in changes.items():
                    if (notify := self._notify.get(watched)) is not None:
                        notify(paths)
        finally:
            self._watcher = None
            watcher.close()
