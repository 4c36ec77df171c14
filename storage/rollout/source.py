"""The bytes of a rollout: of a plain file, of a compressed one, or of one that continues another.

Codex 0.169 compresses rollouts unchanged for a week (`<name>.jsonl.zst`, Zstandard). Its forks of "paginated" threads
do not copy their source: the first line has the thread's id and how many bytes of its file come first.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from spindle.rpc.lenient import mapping
from spindle.storage.regular import regular
from spindle.storage.rollout.lines import decode_line

COMPRESSED = ".zst"
_BASE = b'"history_base":{'
_FIRST_LINE = 4 * 1024 * 1024
_DEPTH = 16

Find = Callable[[str], Path | None]
"""Locates the file of a rollout id: a segment's id, or a thread's id for its first file."""


class RolloutChanged(Exception):
    """The file does not fit its outline: another program rewrote it meanwhile."""


class Source:
    """A rollout open for reading, with its size at opening. Everything blocks; reading raises OSError.

    `inode` is that of the given file, `size` the number of bytes; the bytes before `own` belong to another file.
    """

    def __init__(self, path: Path, find: Find | None = None, depth: int = 0) -> None:
        """Raises OSError, also for a damaged compressed file."""
        self._file: BinaryIO = _raw(path)
        self._base: Source | None = None
        self.own = 0
        try:
            status = os.fstat(self._file.fileno())
            self.inode = status.st_ino
            if path.name.endswith(COMPRESSED):
                self._file = _inflated(self._file)
                status = os.fstat(self._file.fileno())
            self.size = status.st_size
            if find is not None and depth < _DEPTH:
                self._continue(find, depth)
        except BaseException:
            self.close()
            raise

    def _continue(self, find: Find, depth: int) -> None:
        """Prepend the bytes that the first line refers to, if they still exist."""
        first = self.read(0, min(self.size, 64 * 1024))
        if b"\n" not in first:
            first = self.read(0, min(self.size, _FIRST_LINE))
        first = first.partition(b"\n")[0]
        if _BASE not in first or (line := decode_line(first)) is None:
            return
        base: dict[str, Any] = mapping(line.payload.get("history_base"))
        id, end = base.get("thread_id"), base.get("end_byte_offset")
        if not isinstance(id, str) or type(end) is not int or end < 0 or (path := find(id)) is None:
            return
        with suppress(OSError):
            self._base = Source(path, find, depth + 1)
            self.own = min(self._base.own + end, self._base.size)
            self.size += self.own

    def read_into(self, view: memoryview, offset: int) -> int:
        """Read into `view` from `offset` on; returns the number of bytes, 0 at the end."""
        if offset < self.own and self._base is not None:
            return self._base.read_into(view[: self.own - offset], offset)
        return os.preadv(self._file.fileno(), [view[: max(0, self.size - offset)]], offset - self.own)

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end), fewer at the end."""
        buffer = bytearray(max(0, min(end, self.size) - start))
        view, at = memoryview(buffer), 0
        while at < len(buffer):
            count = self.read_into(view[at : at + (1 << 20)], start + at)
            if not count:
                break
            at += count
        return bytes(view[:at])

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._file.close()
        if self._base is not None:
            self._base.close()


def open_plain(path: Path, buffering: int) -> BinaryIO:
    """The decompressed bytes of a rollout, compressed or not, in a file with a descriptor. Raises OSError."""
    if not path.name.endswith(COMPRESSED):
        return open(path, "rb", buffering=buffering, opener=regular)
    plain = _inflated(_raw(path))
    plain.seek(0)
    return plain


def _raw(path: Path) -> BinaryIO:
    return open(path, "rb", buffering=0, opener=regular)


def _inflated(compressed: BinaryIO) -> BinaryIO:
    """The content of a compressed file, in an unnamed temporary file. Raises OSError."""
    import zstandard

    plain: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the source closes it
    try:
        with compressed, zstandard.ZstdDecompressor().stream_reader(compressed, read_across_frames=True) as lines:
            shutil.copyfileobj(lines, plain, 1 << 18)
        plain.flush()
    except zstandard.ZstdError as error:
        plain.close()
        raise OSError(errno.EIO, f"the compressed rollout cannot be read: {error}", compressed.name) from error
    except BaseException:
        plain.close()
        raise
    return plain
