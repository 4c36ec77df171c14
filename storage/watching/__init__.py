"""Notice changes of files and folders: by inotify on Linux, by comparing them elsewhere. Everything here blocks."""

from __future__ import annotations

import sys
from typing import Final, Protocol

from spindle.storage.watching.watched import Changes, Watched


class Watcher(Protocol):
    """Watches any number of paths, missing ones too. Its methods may be called in any thread."""

    fd: int | None
    """Readable when there may be changes; None if `collect` must be called from time to time."""

    def add(self, watched: Watched) -> None:
        """Begin to watch. Raises OSError where the system refuses."""

    def drop(self, watched: Watched) -> None:
        """Watch it no longer. Does not wait for the disk."""

    def collect(self) -> Changes:
        """What has changed since the last call."""
        ...

    def close(self) -> None:
        """Free what it holds of the system."""


_HAS_INOTIFY: Final[bool] = sys.platform == "linux"


def open_watcher() -> Watcher:
    """A watcher of this system. Raises OSError if the system has no room for one."""
    if _HAS_INOTIFY:
        from spindle.storage.watching.inotify import Inotify

        return Inotify()
    from spindle.storage.watching.comparing import Comparing

    return Comparing()


__all__ = ["Changes", "Watched", "Watcher", "open_watcher"]
