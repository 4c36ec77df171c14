"""The writer lock of a thread: an flock on a lock file.

The kernel releases an `flock` when its holder dies in any way, so stale locks cannot exist. Codex 0.169 locks the same
file in the same way, so the two programs exclude each other. It removes lock files that are not held, under a lock of
its own (`.coordination.lock`), which is held shared while a thread's lock is taken.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet

from spindle.storage.durable import private_folder
from spindle.storage.locks import is_alive, open_lock, pid_of_lock, pids_of_locks, release, wait_for
from spindle.storage.regular import regular

PROGRAM = "spindle"
_ATTEMPTS: Final = 8
_COORDINATION: Final = ".coordination.lock"
_SUFFIX: Final = ".lock"
_COORDINATION_PATIENCE: Final = 1.0
# our note in the file, for others to read, of constant length; no other content is changed
_NOTE: Final = re.compile(rb"(?:(\d+) ([\w.-]+))? *\n|")
_NOTE_LENGTH: Final = 32


class WriterBusy(Exception):
    """Another process (or another journal of this process) writes to the thread. `holder` names it."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"thread already has an active writer: {holder}")
        self.holder = holder


class WriterLock:
    """The exclusive right to write to one thread. `acquire` and `remove` block: use a worker thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._noted = False

    @property
    def held(self) -> bool:
        """Whether this process holds the lock; a process forked meanwhile does not."""
        return self._fd is not None

    def acquire(self) -> None:
        """Take the lock without waiting for its holder, and write our pid and program into the file for others.

        Raises WriterBusy, OSError.
        """
        folder = self.path.parent
        private_folder(folder)
        with _coordinated(folder, fcntl.LOCK_SH):
            for _ in range(_ATTEMPTS):
                if self._try(open_lock(self.path)):
                    return
        raise OSError(errno.EAGAIN, "the lock file is removed again and again", str(self.path))

    def acquire_at_once(self) -> bool:
        """Take the lock if its file exists and nothing has to be waited for. Else return False: `acquire` knows why."""
        with suppress(OSError, WriterBusy), _coordinated(self.path.parent, fcntl.LOCK_SH, at_once=True):
            return self._try(regular(str(self.path), os.O_RDWR | os.O_NOFOLLOW))
        return False

    def _try(self, fd: int) -> bool:
        """Lock the open file; False if it was removed meanwhile."""
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WriterBusy(_holder(fd)) from None
            if not _is_at(fd, self.path):
                release(fd)
                return False
        except BaseException:
            release(fd)
            raise
        self._fd = fd
        _held.add(self)
        self._noted = _note(fd)
        return True

    def release(self) -> None:
        """Release the lock; does nothing if it is not held. The file is kept."""
        fd, self._fd = self._fd, None
        if fd is not None:
            _held.discard(self)
            if self._noted:
                _write_note(fd, "")
            release(fd)

    def remove(self) -> None:
        """Remove the file of a deleted thread, while the lock is held. Raises OSError."""
        with suppress(FileNotFoundError, TimeoutError), _coordinated(self.path.parent, fcntl.LOCK_EX):
            self.path.unlink()

    def _forget(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                os.close(fd)


# A forked process has copies of our descriptors. It must close them without unlocking, because unlocking them would
# unlock ours.
_held: WeakSet[WriterLock] = WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock._forget()  # pyright: ignore[reportPrivateUsage]
    _held.clear()


os.register_at_fork(after_in_child=_forget_all)


@contextmanager
def _coordinated(folder: Path, kind: int, *, at_once: bool = False) -> Generator[None]:
    """Hold Codex's coordination lock, if it exists, so that Codex does not check lock files meanwhile: it would lock each.

    A shared lock is waited for only briefly: a removed file is noticed anyway. Raises TimeoutError, OSError; with `at_once`
    BlockingIOError instead of waiting.
    """
    path = folder / _COORDINATION
    try:
        fd = regular(str(path), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield
        return
    try:
        try:
            if at_once:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
            else:
                wait_for(fd, path, _COORDINATION_PATIENCE, kind)
        except TimeoutError:
            if kind != fcntl.LOCK_SH:
                raise
        yield
    finally:
        release(fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _note(fd: int) -> bool:
    """Write our note into the file, unless it has other content. The lock does not depend on it."""
    with suppress(OSError):
        if _NOTE.fullmatch(os.pread(fd, 2 * _NOTE_LENGTH, 0)):
            _write_note(fd, f"{os.getpid()} {PROGRAM}")
            return True
    return False


def _write_note(fd: int, text: str) -> None:
    with suppress(OSError):
        os.pwrite(fd, text.ljust(_NOTE_LENGTH - 1).encode() + b"\n", 0)


def check_free(path: Path) -> None:
    """Raise WriterBusy if another process holds the lock, as far as that is known without taking it. Blocking.

    For early refusals; only `acquire` decides. Raises OSError.
    """
    try:
        fd = regular(str(path), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        if pid_of_lock(fd) not in ("", str(os.getpid())):
            raise WriterBusy(_holder(fd))
    finally:
        os.close(fd)


def lock_holders(folder: Path) -> list[tuple[str, int, str]]:
    """(thread id, pid, program) of each writer's lock that is held, for all locks in the folder. Blocking.

    The program is "" if the holder has not written it. Without the kernel's table, what the holders have written decides.
    """
    by_inode = pids_of_locks()
    found: list[tuple[str, int, str]] = []
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            if file.name.startswith(".") or not file.name.endswith(_SUFFIX):
                continue
            pid = by_inode.get(file.inode(), "")
            if pid or not by_inode:
                written, program = _read_note(file.path)
                if pid := pid or written:
                    found.append((file.name.removesuffix(_SUFFIX), int(pid), program if pid == written else ""))
    return found


def has_writer(path: Path) -> bool:
    """Whether a process holds the lock at `path`, as far as that is known without taking it. Blocking."""
    try:
        fd = regular(str(path), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        by_inode = pids_of_locks()
        if by_inode:
            return os.fstat(fd).st_ino in by_inode
        written, _ = _noted(fd)
        return written != "" and is_alive(int(written))
    finally:
        os.close(fd)


def _read_note(path: str) -> tuple[str, str]:
    """(pid, program) as written into a lock file."""
    try:
        fd = regular(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return "", ""
    try:
        return _noted(fd)
    finally:
        os.close(fd)


def _noted(fd: int) -> tuple[str, str]:
    try:
        note = _NOTE.fullmatch(os.pread(fd, 2 * _NOTE_LENGTH, 0))
    except OSError:
        note = None
    written, program = (part.decode() if part else "" for part in (note.groups() if note else (b"", b"")))
    return written, program


def _holder(fd: int) -> str:
    """The holder of the lock on an open file. The kernel's table comes first; the note may be of an earlier, killed holder."""
    written, program = _noted(fd)
    pid = pid_of_lock(fd) or written
    if not pid:
        return "an unknown process"
    return f"pid {pid} ({program})" if program and pid == written else f"pid {pid}"
