"""Lock files (`flock`) for programs that share a home.

A lock belongs to the open file, and a forked process has the same open file. So a lock is released explicitly, not only
by closing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from spindle.storage.regular import regular

PATIENCE: Final = 5.0
"""Seconds to wait for another program."""
_PAUSE: Final = 0.005


def open_lock(path: Path) -> int:
    """Open a lock file, created if missing; its content is kept. Raises OSError, also for a link or a file that is not
    regular.
    """
    return regular(str(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)


def wait_for(fd: int, path: Path, patience: float = PATIENCE, kind: int = fcntl.LOCK_EX) -> None:
    """Lock an open file. Raises TimeoutError if another program holds the lock for `patience` seconds, OSError."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                pid = pid_of_lock(fd)
                text = f"{f'pid {pid}' if pid else 'another process'} has held the lock for {patience:g} s"
                raise TimeoutError(errno.ETIMEDOUT, text, str(path)) from None
            time.sleep(_PAUSE)


def release(fd: int) -> None:
    """Unlock and close; never raises."""
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    with suppress(OSError):
        os.close(fd)


@contextmanager
def locked(path: Path, patience: float = PATIENCE) -> Generator[None]:
    """Hold the lock at `path` for the length of the block. Blocking. Raises TimeoutError, OSError."""
    fd = open_lock(path)
    try:
        wait_for(fd, path, patience)
        yield
    finally:
        release(fd)


def pid_of_lock(fd: int) -> str:
    """The pid in /proc/locks for a lock on this file; "" if there is none, or no such table."""
    return pids_of_locks().get(os.fstat(fd).st_ino, "")


def pids_of_locks() -> dict[int, str]:
    """The pids in /proc/locks by the inode of the locked file. A pid that is not visible here is left out."""
    try:
        with open("/proc/locks", encoding="ascii") as table:
            rows = [row.split() for row in table]
    except OSError:
        return {}
    found: dict[int, str] = {}
    for row in rows:
        # "1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF"; a waiter's row has "->" in the second column
        if len(row) >= 6 and row[1] == "FLOCK" and row[4].isdigit() and row[4] != "0":
            inode = row[5].rpartition(":")[2]
            if inode.isdigit():
                found.setdefault(int(inode), row[4])
    return found


def is_alive(pid: int) -> bool:
    """Whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
