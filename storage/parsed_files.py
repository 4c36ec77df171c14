"""Keep files in parsed form, and read a file again only after a change."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from spindle.storage.outside import read_file

T = TypeVar("T")
_Signature: TypeAlias = tuple[int, int, int]


class ParsedFiles(Generic[T]):
    """The results of `parse` for files of at most `most` bytes. Blocking; may be shared by worker threads."""

    def __init__(self, most: int, parse: Callable[[Path, bytes], T]) -> None:
        self._most, self._parse = most, parse
        self._known: dict[Path, tuple[_Signature, T]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> T:
        """The result for a file; the same object until the file changes. Raises OSError, and the errors of `parse`."""
        stat = os.stat(path)
        signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        with self._lock:
            known = self._known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        parsed = self._parse(path, read_file(path, self._most))
        with self._lock:
            self._known[path] = (signature, parsed)
        return parsed

    def last(self, path: Path) -> T | None:
        """The last result for a file, without reading it; None if there is none."""
        with self._lock:
            known = self._known.get(path)
        return None if known is None else known[1]
