"""One writer per thread: an flock on a file beside the rollouts.

`flock` is released by the kernel when its holder dies, however it dies, so a stale lock cannot exist. Codex 0.169
locks the same file in the same way, so the two programs respect each other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

PROGRAM = "spindle"


class WriterBusy(Exception):
    """Another process (or another journal of this one) is writing to the thread. `holder` says which."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"thread already has an active writer: {holder}")
        self.holder = holder


class WriterLock:
    """Exclusive right to write to one thread. Blocking file system calls: use it from a worker thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting, and leave our pid and program in the file for others to read.

        Raises WriterBusy, OSError.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            try:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise WriterBusy(_holder(fd)) from None
                raise
            finally:
                os.close(fd)
        self._fd = fd
        with contextlib.suppress(OSError):  # only a courtesy to others: the lock holds without it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {PROGRAM}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock up; does nothing when it is not held. The file stays: removing it would let two lock it."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
        os.close(fd)


def check_free(path: Path) -> None:
    """Raise WriterBusy if another process holds the lock, as far as this can be told without taking it. Blocking.

    For what is to be refused early; only `acquire` decides. Raises OSError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if _pid_of_lock(fd) not in ("", str(os.getpid())):
            raise WriterBusy(_holder(fd))
    finally:
        os.close(fd)


def _holder(fd: int) -> str:
    """Who holds the lock on an open file. The kernel knows best; the content may be of an earlier, killed holder."""
    try:
        content = os.pread(fd, 200, 0).decode("utf-8", "replace").strip()
    except OSError:
        content = ""
    written, _, program = content.partition(" ")
    pid = _pid_of_lock(fd) or (written if written.isdigit() else "")
    if not pid:
        return "an unknown process"
    return f"pid {pid} ({program})" if program and pid == written else f"pid {pid}"


def _pid_of_lock(fd: int) -> str:
    """The pid that /proc/locks gives for a lock on this file; "" where there is no such table or pid."""
    inode = os.fstat(fd).st_ino
    try:
        with open("/proc/locks", encoding="ascii") as table:
            rows = [row.split() for row in table]
    except OSError:
        return ""
    for row in rows:
        # "1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF"; a row of a waiter has "->" in second place
        if len(row) >= 6 and row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode) and row[4].isdigit():
            return "" if row[4] == "0" else row[4]
    return ""
