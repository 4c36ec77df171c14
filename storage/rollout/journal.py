"""Append to a rollout: one writer at a time, whole lines, a torn last line repaired before the first append.

Between `begin` and `end` a journal holds the thread's lock and one descriptor. Between turns it holds nothing, so ten
thousand idle threads cost no descriptors. It remembers the known end of the file, so the next `begin` finds what others
have appended.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from spindle.rpc.lazy_class import frozen
from spindle.storage.durable import append_all, make_folder, sync_data, sync_folder, write_all
from spindle.storage.regular import regular
from spindle.storage.rollout.lines import decode_line, iter_lines
from spindle.storage.rollout.writer_lock import WriterBusy, WriterLock

__all__ = ["Journal", "JournalError", "Opened", "WriterBusy"]

FRESH: Final = 60.0
"""Seconds after `end` for which the system is taken to have the file in its memory."""
_BLOCK = 64 * 1024
# {"timestamp":"2025-01-05T12:00:00.000Z", -- where encode_line inserts an ordinal
_AFTER_TIMESTAMP = len('{"timestamp":"2025-01-05T12:00:00.000Z",')
_ORDINAL = b'"ordinal":'


class JournalError(Exception):
    """The rollout could not be written or fsynced. The journal appends nothing more until the next `begin`."""


@frozen
class Opened:
    """The findings of `begin`.

    foreign: lines (without newline) that others appended after the known end. replaced: the file is another one or has
    shrunk, or this journal's last write failed; the caller must read it again. created: the file did not exist. torn:
    the bytes of an incomplete last line that were moved to `<rollout>.torn`.
    """

    foreign: list[bytes]
    replaced: bool
    created: bool = False
    torn: int = 0


@frozen
class _Known:
    """The end of the file, and the file. `ordinal` is None if its lines are not numbered or `ours` is False.

    ours: the journal has been here itself. fresh: until when, on the monotonic clock, the file is in the system's memory.
    """

    end: int
    inode: int
    ordinal: int | None = None
    ours: bool = False
    fresh: float = 0.0


class Journal:
    """Appends to one rollout. Call `append`, `begin_at_once` and `end` on the trio thread; `begin` and `sync` block: use a
    worker thread.
    """

    def __init__(self, path: Path, lock_file: Path, *, numbered: bool = False) -> None:
        """`numbered`: number the lines of a new file. An existing file keeps its form."""
        self.path = path
        self._numbered = numbered
        self._lock = WriterLock(lock_file)
        self._fd: int | None = None
        self._inode = 0
        self._local = False
        self._size = 0
        self._synced = 0
        self._ordinal: int | None = None
        self._broken: str | None = None
        self._created = False
        self._known: _Known | None = None
        # end() must not close the descriptor during a sync() in another thread: its number may be reused
        self._closing = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the journal is between `begin` and `end`."""
        return self._fd is not None

    @property
    def size(self) -> int:
        """The known size of the file, in bytes."""
        return self._size if self._fd is not None else (self._known.end if self._known else 0)

    def expect(self, end: int, inode: int) -> None:
        """Set how far the caller has read the file; later bytes are `foreign` at the next `begin`.

        Without it, the first `begin` counts the whole file as known.
        """
        self._known = _Known(end, inode)

    def is_current(self) -> bool:
        """Whether the file ends where the caller has read it to, or where this journal left it. Blocking."""
        known = self._known
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return known is not None and (status.st_ino, status.st_size) == (known.inode, known.end)

    def begin(self, lines: Sequence[bytes] = ()) -> Opened:
        """Take the lock, open or create the file, repair its end, and append `lines`. Blocking.

        Raises WriterBusy if another process holds the lock. Raises JournalError if the file cannot be opened, repaired
        or written (the lock is then released), if a known file is missing, or if the journal is already open.
        """
        if self._fd is not None:
            raise JournalError(f"{self.path} is open already")
        try:
            self._lock.acquire()
        except OSError as error:
            raise JournalError(f"cannot lock {self.path}: {error}") from error
        known, self._broken = self._known, None
        try:
            opened = self._open()
            if lines:
                self.append(lines)
        except BaseException as error:
            self._take_back_creation()
            self.end()
            # the caller does not receive the foreign lines now, so the next `begin` must find them again
            self._known = known
            if isinstance(error, OSError):
                raise JournalError(f"cannot open {self.path}: {error}") from error
            raise
        return opened

    def begin_at_once(self) -> bool:
        """As `begin`, if that takes microseconds. Else return False, with nothing changed: `begin` is needed.

        It needs a file that is on a disk of this machine, that this journal had open a moment ago, and that nobody has
        changed since. So its names, its inode and its last page are in the system's memory, as for `append`, and nothing
        is created, repaired or waited for.
        """
        known = self._known
        if self._fd is not None or known is None or not known.ours or time.monotonic() > known.fresh:
            return False
        if not self._lock.acquire_at_once():
            return False
        fd = -1
        with contextlib.suppress(OSError):
            fd = regular(str(self.path), os.O_RDWR | os.O_APPEND)
            status = os.fstat(fd)
            if (status.st_ino, status.st_size) == (known.inode, known.end):
                self._fd, self._broken, self._created = fd, None, False
                self._size = self._synced = known.end
                self._ordinal = known.ordinal
                return True
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._lock.release()
        return False

    def append(self, lines: Sequence[bytes]) -> None:
        """Append whole lines (each with its newline) in a single write; numbered if the file's lines are.

        Raises JournalError if not everything could be written. A partial write is undone if possible, and the journal
        accepts nothing more until `end` and `begin`, which repairs the rest.
        """
        if self._broken is not None:
            raise JournalError(f"{self.path} accepts no more lines after a failure: {self._broken}")
        if self._fd is None or not self._lock.held:
            raise JournalError(f"{self.path} is not open")
        if not lines:
            return
        ordinal = self._ordinal
        if ordinal is not None:
            lines, ordinal = _numbered(lines, ordinal)
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            self._fail(str(error), 0)
            raise JournalError(f"cannot write to {self.path}: {error}") from error
        if written != len(data):
            self._fail("short write", written)
            raise JournalError(f"cannot write to {self.path}: only {written} of {len(data)} bytes were taken")
        self._size += written
        self._ordinal = ordinal

    def sync(self) -> None:
        """Fsync the appended lines, also after `end`, which may come first. Blocking.

        Raises JournalError; then the journal appends nothing more: the kernel may have dropped the unwritten pages, so
        a retry could report success for lost lines. A file that was removed or truncated meanwhile is also an error.
        """
        with self._closing:
            if self._broken is not None:
                raise JournalError(f"{self.path} accepts no more lines after a failure: {self._broken}")
            try:
                if self._fd is not None:
                    self._sync(self._fd)
                elif self._synced < self._size:
                    fd = regular(str(self.path), os.O_RDONLY)
                    try:
                        self._sync(fd)
                    finally:
                        os.close(fd)
            except OSError as error:
                self._broken = f"sync failed: {error}"
                raise JournalError(f"cannot sync {self.path}: {error}") from error

    def _sync(self, fd: int) -> None:
        size = self._size  # read before the fsync: the trio thread may append meanwhile
        status = os.fstat(fd)
        if status.st_nlink == 0 or status.st_ino != self._inode:
            self._broken = "the file was removed"
            raise JournalError(f"{self.path} is gone: another program removed it while it was written")
        if status.st_size < size:
            self._broken = "the file was cut"
            raise JournalError(f"{self.path} is not whole: another program cut it while it was written")
        sync_data(fd)
        self._synced = size

    def end(self) -> None:
        """Close the file and release the lock; does nothing if the journal is not open. Never raises."""
        with self._closing:
            fd, self._fd = self._fd, None
            if fd is not None:
                # after a failure, the caller's memory and the file may differ
                changed = self._broken is not None
                with contextlib.suppress(OSError):
                    # a writer without the lock: its lines are between ours, so the whole file must be read again
                    changed = changed or os.fstat(fd).st_size != self._size
                fresh = time.monotonic() + FRESH if self._local else 0.0
                self._known = _Known(self._size, -1 if changed else self._inode, self._ordinal, True, fresh)
                with contextlib.suppress(OSError):
                    os.close(fd)
            self._lock.release()

    def _open(self) -> Opened:
        created = self._created = False
        flags = os.O_RDWR | os.O_APPEND
        try:
            fd = regular(str(self.path), flags)
        except FileNotFoundError:
            if self._known is not None and self._known.end > 0:
                # a new file would have only the rest of the conversation
                raise JournalError(f"{self.path} is gone: another program has moved or removed it") from None
            if self.path.is_symlink():
                raise  # a link to nothing; we must not create its target
            make_folder(self.path.parent)
            fd = regular(str(self.path), flags | os.O_CREAT | os.O_EXCL)
            created = self._created = True
        self._fd = fd
        if created:
            sync_folder(self.path.parent)
        status = os.fstat(fd)
        size, self._inode, known = status.st_size, status.st_ino, self._known
        # network file systems and those in processes have device numbers without a driver; some local ones do, too
        self._local = sys.platform == "linux" and os.major(status.st_dev) != 0
        replaced = known is not None and (known.inode != status.st_ino or known.end > size)
        start = self._end_of_lines(fd, size)
        torn = 0
        if start < size:
            size, torn = self._repair(fd, start, size)
        self._size = size
        self._synced = start
        foreign: list[bytes] = []
        if known is not None and not replaced and size > known.end:
            foreign = [line for line in _read(fd, known.end, size).split(b"\n") if line and not line.isspace()]
        self._ordinal = self._next_ordinal(fd, size)
        return Opened(foreign, replaced, created, torn)

    def _end_of_lines(self, fd: int, size: int) -> int:
        """The offset after the last newline."""
        if size and _read(fd, size - 1, size) == b"\n":
            return size
        end = size
        while end > 0:
            start = max(0, end - _BLOCK)
            at = _read(fd, start, end).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
        return 0

    def _repair(self, fd: int, start: int, size: int) -> tuple[int, int]:
        """Add the newline of a whole last line, or move an incomplete last line aside; returns (size, bytes moved).

        Appending after an incomplete line would damage the next line, too.
        """
        tail = _read(fd, start, size)
        if decode_line(tail) is not None:
            write_all(fd, b"\n")
            return size + 1, 0
        aside = regular(f"{self.path}.torn", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
        try:
            append_all(aside, tail + b"\n")
        finally:
            os.close(aside)
        os.ftruncate(fd, start)
        return start, len(tail)

    def _next_ordinal(self, fd: int, size: int) -> int | None:
        """The number of the next line, or None if the lines are not numbered."""
        known = self._known
        if known is not None and known.ours and known.inode == self._inode and known.end == size:
            return known.ordinal
        if size == 0:
            return 0 if self._numbered else None
        if _ORDINAL not in _read(fd, 0, min(size, 2 * _AFTER_TIMESTAMP)):
            return None
        start = self._end_of_lines(fd, size - 1)
        last = decode_line(_read(fd, start, size))
        if last is not None and last.ordinal is not None:
            return last.ordinal + 1
        # some lines have no number: use the highest
        return 1 + max(
            (line.ordinal for _, line in iter_lines(self.path) if line and line.ordinal is not None), default=-1
        )

    def _take_back_creation(self) -> None:
        """Remove a new file to which nothing could be written: it would count as damaged."""
        if self._fd is not None and self._created:
            with contextlib.suppress(OSError):
                if os.fstat(self._fd).st_size == 0:
                    os.unlink(self.path)

    def _fail(self, reason: str, written: int) -> None:
        self._broken = reason
        if self._fd is None or not written:
            return
        with contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size == self._size + written:
                os.ftruncate(self._fd, self._size)


def _numbered(lines: Sequence[bytes], ordinal: int) -> tuple[list[bytes], int]:
    """Insert ordinals from `ordinal` on into lines of `encode_line` that have none; returns (lines, next ordinal)."""
    done: list[bytes] = []
    for line in lines:
        if not line.startswith(_ORDINAL, _AFTER_TIMESTAMP):
            line = line[:_AFTER_TIMESTAMP] + _ORDINAL + b"%d," % ordinal + line[_AFTER_TIMESTAMP:]
        done.append(line)
        ordinal += 1
    return done, ordinal


def _read(fd: int, start: int, end: int) -> bytes:
    parts: list[bytes] = []
    while start < end:
        part = os.pread(fd, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return b"".join(parts)
