"""Empty folders that stand for missing protected names, because a mount needs an existing path.

Without a mask, a command could create `.git` with hooks in a folder that has none. A mask is made before the command starts,
and removed after the last command that needs it, if it is still empty. Several programs may work in one folder, so each holds a
shared `flock` on its masks and removes only those that no other program holds: removing a folder removes every mount on it.
The sticky bit, set by mkdir, distinguishes a mask from an empty folder of the user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path

from spindle.storage import locks

ATTEMPTS = 8
PATIENCE = 1.0
"""Seconds to wait for a mask that another program has locked; our own programs lock it for microseconds."""
MODE = 0o700 | stat.S_ISVTX
"""Other users must not be able to open a mask in /tmp: they could lock it and block every command."""


class Masks:
    """The masks for the commands of one runtime. Methods block: for worker threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, int]] = {}
        """By path, an open descriptor and how many commands need it."""

    def hold(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Make a mask for each missing path; pass the returned paths to `release`.

        A path that this process cannot create is left out: the command, with the same rights, cannot create it either.
        Raises TimeoutError, holding none, if another program keeps one locked for `PATIENCE`.
        """
        held: list[str] = []
        try:
            for path in paths:
                with self._lock:
                    if self._hold(path):
                        held.append(path)
        except TimeoutError:
            self.release(held)
            raise
        return tuple(held)

    def _hold(self, path: str) -> bool:
        if path in self._held:
            descriptor, count = self._held[path]
            if _same(descriptor, path):
                self._held[path] = descriptor, count + 1
                return True
        for _ in range(ATTEMPTS):
            try:
                os.mkdir(path, MODE)
            except FileExistsError:
                if path not in self._held and not _is_mask(path):
                    return False
            except OSError:
                return False
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                locks.wait_for(descriptor, Path(path), PATIENCE, fcntl.LOCK_SH)
            except BaseException:
                locks.release(descriptor)
                raise
            if _same(descriptor, path):
                old, count = self._held.get(path, (None, 0))
                if old is not None:
                    locks.release(old)
                self._held[path] = descriptor, count + 1
                return True
            locks.release(descriptor)
        return False

    def release(self, held: Iterable[str]) -> None:
        """Release the masks; removes those that are empty and no longer held."""
        with self._lock:
            for path in held:
                descriptor, count = self._held[path]
                if count > 1:
                    self._held[path] = descriptor, count - 1
                    continue
                del self._held[path]
                with contextlib.suppress(OSError):  # held by another program, or no longer empty
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _same(descriptor, path):
                        os.rmdir(path)
                locks.release(descriptor)


def _same(descriptor: int, path: str) -> bool:
    """Whether `path` is still the open folder."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def _is_mask(path: str) -> bool:
    """Whether the path is a mask of this user. A folder of another user is never locked."""
    try:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or not found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid():
            return False
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False
