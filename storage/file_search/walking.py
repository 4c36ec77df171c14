"""Walk the folders of a search. Hidden files are included, links are followed, and what git ignores is left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import clean
from spindle.storage.file_search.ignoring import Ignoring, ignoring_above
from spindle.storage.file_search.pattern import folded, visible

MOST: Final = 250_000
"""Paths of one search."""
DEPTH: Final = 64
"""Levels of folders below a root."""


@frozen
class FoundPath:
    """A file or folder below `root`, which is as the client has given it. `path` is relative to it, "" for the root itself."""

    root: str
    path: str
    is_folder: bool
    text: str
    """The path in its visible characters, which are those that are counted."""
    folded: str


def walk(roots: Sequence[tuple[str, str]], found: list[FoundPath], check: Callable[[], None]) -> None:
    """Append what is below the roots: each (as given, absolute path). A root below another one has its own paths.

    Folders that cannot be read are left out. `check` is called regularly, and may raise to stop.
    """
    given = {os.path.normpath(path): root for root, path in roots}
    for root, path in roots:
        top = os.path.normpath(path)
        try:
            status = os.stat(top)
            if not os.path.isdir(top):
                continue
        except (OSError, ValueError):
            continue
        _walk_root(_Folder(top, root, top, 0, ((status.st_dev, status.st_ino),), ignoring_above(top)), given, found, check)


@frozen
class _Folder:
    path: str
    root: str
    top: str
    depth: int
    above: tuple[tuple[int, int], ...]
    """The folder and those that it is in, by their numbers: a link to one of them is not followed."""
    ignoring: Ignoring


def _walk_root(start: _Folder, given: dict[str, str], found: list[FoundPath], check: Callable[[], None]) -> None:
    found.append(_found(start.root, "", True))
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        check()
        try:
            with os.scandir(folder.path) as rows:
                entries = sorted(rows, key=lambda row: row.name)
        except OSError:
            continue
        ignoring = folder.ignoring.within(folder.path, {row.name for row in entries})
        for row in entries:
            try:
                is_folder = row.is_dir()
                if (row.is_symlink() and not os.path.exists(row.path)) or ignoring.ignores(row.path, is_folder):
                    continue
                root, top = (given[row.path], row.path) if row.path in given else (folder.root, folder.top)
                if is_folder and folder.depth < DEPTH:
                    status = row.stat()
                    number = status.st_dev, status.st_ino
                    if number in folder.above:
                        continue
                    above = (*folder.above, number)
                    waiting.append(_Folder(row.path, root, top, folder.depth + 1, above, ignoring))
            except OSError:
                continue
            if len(found) >= MOST:
                return
            found.append(_found(root, "" if top == row.path else os.path.relpath(row.path, top), is_folder))


def _found(root: str, path: str, is_folder: bool) -> FoundPath:
    path = clean(path)
    text = visible(path)
    return FoundPath(root, path, is_folder, text, folded(text))
