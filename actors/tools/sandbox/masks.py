"""Empty folders where protected names are missing: a mount can only hold what is there.

Without one, `.git` could be made in a folder that had none, with hooks in it. The folder is made before the command
starts and removed after the last command that needed it, if it is still empty. Several programs may work in one folder,
so each holds a lock (`flock`, shared) on the folders it needs, and removes only what nobody else holds: removing a folder
takes away every mount on it. The sticky bit tells a mask from an empty folder of the user's, and comes with making it.
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
"""Seconds to wait for another program that has a mask locked: programs like this one lock it for microseconds."""
MODE = 0o700 | stat.S_ISVTX
"""Other users could lock what they can open, such as a mask in /tmp, and keep every command waiting."""


class Masks:
    """The folders that the commands of one runtime need. Methods block on the disk briefly; call them in worker threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, int]] = {}
        """By path, an open descriptor and how many commands need it."""

    def hold(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Make a folder for each path that is missing; what was made, or is held already, is to be given to `release`.

        A path that this process cannot make is left out: the command, with no more rights, could not make it either.
        Raises TimeoutError where another program has one locked for `PATIENCE`; nothing is held then.
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
        """Remove what nobody needs any longer and nobody has filled."""
        with self._lock:
            for path in held:
                descriptor, count = self._held[path]
                if count > 1:
                    self._held[path] = descriptor, count - 1
                    continue
                del self._held[path]
                with contextlib.suppress(OSError):  # held by another program, or filled by the user meanwhile
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _same(descriptor, path):
                        os.rmdir(path)
                locks.release(descriptor)


def _same(descriptor: int, path: str) -> bool:
    """Whether `path` still is the open folder."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def _is_mask(path: str) -> bool:
    """Whether what is there is a mask of another program of this user. No folder of another user's is ever locked."""
    try:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or not found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid():
            return False
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False
