"""Changes from the kernel of Linux (`inotify(7)`).

For each watched path up to three places are watched: the path itself (a folder's entries, or a file whatever its name), the
folder that it is in, and, where that is missing, the nearest one that exists. So a file that is replaced by another one is
still watched, and a path may come to be later.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

from spindle.storage.watching.watched import MOST_PATHS, Changes, Watched, report

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x4000, 0x8000
_MASK: Final = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
)
_PLACES: Final = _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO | _DELETE_SELF | _MOVE_SELF | _IGNORED
"""Events after which a path may lead to another file than before."""
_HEADER: Final = struct.Struct("iIII")
_READ: Final = 1 << 16
_READS: Final = 64
"""Reads of one call: what comes after them waits in the kernel for the next call."""

_Place: TypeAlias = tuple[int, str]
"""The kernel's number of a place, and the path by which it was found."""


class Inotify:
    """See `Watcher`."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int | None = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._lock = threading.Lock()
        """Held while a worker thread asks the kernel, which may wait for a disk; so `drop` and `close` do not wait for it."""
        self._closed = False
        self._dropped: deque[Watched] = deque()
        self._places: dict[int, dict[str, set[Watched]]] = {}
        """By the kernel's number of a place: its paths, of which there may be several, with what is watched there."""
        self._of: dict[Watched, set[_Place]] = {}

    def add(self, watched: Watched) -> None:
        """See `Watcher`."""
        with self._at_work():
            if not watched.dropped:
                self._watch_places(watched, strict=True)

    def drop(self, watched: Watched) -> None:
        """See `Watcher`."""
        watched.dropped = True
        self._dropped.append(watched)

    def collect(self) -> Changes:
        """See `Watcher`."""
        with self._at_work():
            events, lost = self._read()
            changed: defaultdict[Watched, set[str]] = defaultdict(set)
            moved: set[Watched] = set()
            if lost:
                for watched in self._of:
                    changed[watched].add(watched.path)
                moved.update(self._of)
            for number, names in events.items():
                for place, those in self._places.get(number, {}).items():
                    for watched in those:
                        _match(watched, place, names, changed[watched], moved)
                if names.get("", 0) & _IGNORED:
                    self._gone(number)
            for watched in moved:
                if self._watch_places(watched, strict=False):
                    changed[watched].add(watched.path)
        return {watched: report(watched, paths) for watched, paths in changed.items() if paths}

    def close(self) -> None:
        """See `Watcher`."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()

    @contextmanager
    def _at_work(self) -> Generator[None, None, None]:
        with self._lock:
            try:
                while self._dropped:
                    for place in self._of.pop(watched := self._dropped.popleft(), ()):
                        self._leave(watched, place)
                yield
            finally:
                if self._closed:
                    self._close()

    def _close(self) -> None:
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)

    def _watch_places(self, watched: Watched, *, strict: bool) -> bool:
        """Watch the places that the path has now. Whether it leads to something that was not watched before.

        Raises OSError if the system refuses and `strict`.
        """
        before, wanted = self._of.get(watched, set[_Place]()), set[_Place]()
        place = watched.path
        while True:
            try:
                wanted.add((self._number(place), place))
            except OSError as error:
                if strict and error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EACCES):
                    for made in wanted - before:
                        self._leave(watched, made)
                    raise
            above = os.path.dirname(place)
            if above == place or (wanted and place != watched.path):
                break
            place = above
        for left in before - wanted:
            self._leave(watched, left)
        for number, path in wanted:
            self._places.setdefault(number, {}).setdefault(path, set()).add(watched)
        self._of[watched] = wanted
        return any(path == watched.path for _, path in wanted - before)

    def _number(self, place: str) -> int:
        return _checked(self._libc.inotify_add_watch(-1 if self.fd is None else self.fd, os.fsencode(place), _MASK))

    def _leave(self, watched: Watched, place: _Place) -> None:
        number, path = place
        paths = self._places.get(number, {})
        if (those := paths.get(path)) is not None:
            those.discard(watched)
            if not those:
                del paths[path]
        if not paths:
            self._places.pop(number, None)
            if self.fd is not None:
                self._libc.inotify_rm_watch(self.fd, number)

    def _gone(self, number: int) -> None:
        """The kernel has removed the watch of a place, because the place is gone."""
        for path, those in self._places.pop(number, {}).items():
            for watched in those:
                self._of[watched].discard((number, path))

    def _read(self) -> tuple[dict[int, dict[str, int]], bool]:
        """The names with events, by place, each with its events; "" is the place itself. And whether events were lost."""
        found: defaultdict[int, dict[str, int]] = defaultdict(dict)
        lost = False
        for _ in range(_READS):
            try:
                data = os.read(self.fd, _READ) if self.fd is not None else b""
            except BlockingIOError:
                break
            if not data:
                break
            at = 0
            while at < len(data):
                number, mask, _cookie, length = _HEADER.unpack_from(data, at)
                at += _HEADER.size + length
                lost = lost or bool(mask & _OVERFLOW)
                names = found[number]
                name = os.fsdecode(data[at - length : at].rstrip(b"\0"))
                if name in names or len(names) <= MOST_PATHS:
                    names[name] = names.get(name, 0) | mask
                else:
                    lost = True
        return found, lost


def _match(watched: Watched, place: str, names: Mapping[str, int], changed: set[str], moved: set[Watched]) -> None:
    """Add what the events of one place mean for one watched path."""
    for name, mask in names.items():
        path = os.path.join(place, name) if name else place
        if mask & _PLACES and (watched.path == path or watched.path.startswith(path.rstrip("/") + "/")):
            moved.add(watched)
        if watched.path == path:
            if mask & ~_IGNORED:
                changed.add(path)
        elif watched.path == place:
            changed.add(path)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
