"""One watched path, and what is reported of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

MOST_PATHS: Final = 1_000
"""The most paths in one report of a folder. With more, the folder itself is reported."""


class Watched:
    """A watched path: a file, a folder with its entries, or what may come to be there. Compared by identity."""

    __slots__ = ("dropped", "path")

    def __init__(self, path: str) -> None:
        """`path` is absolute, and has no `.` or `..`."""
        self.path = path
        self.dropped = False


Changes: TypeAlias = Mapping[Watched, Sequence[str]]
"""The paths that have changed, sorted, for each watched path with changes."""


def report(watched: Watched, paths: Iterable[str]) -> Sequence[str]:
    """The paths as they are reported: sorted, or the watched one if there are too many."""
    found = set(paths)
    return sorted(found) if len(found) <= MOST_PATHS else [watched.path]
