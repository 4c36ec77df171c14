"""Rollouts that Codex 0.169 has compressed: `rollout-….jsonl.zst`, the same lines in zstd frames.

It compresses what has not changed for a week, and makes the plain file again before it appends. Clients are shown the
plain name at all times; where both files are there, the plain one counts.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

from spindle.storage.durable import PRIVATE, sync_folder, write_all
from spindle.storage.regular import regular

SUFFIX = ".zst"
"""What a compressed rollout's name has behind `.jsonl`."""

_BUFFER = 1 << 16


def is_compressed(path: str | os.PathLike[str]) -> bool:
    """Whether the name is that of a compressed file."""
    return os.fspath(path).endswith(SUFFIX)


def plain_path(path: Path) -> Path:
    """The name under which a rollout is shown and, once inflated, kept."""
    return path.with_name(path.name.removesuffix(SUFFIX))


def existing(path: Path) -> Path:
    """The file in which a rollout is: `path`, or its compressed form if only that is there."""
    if is_compressed(path) or path.exists():
        return path
    compressed = path.with_name(path.name + SUFFIX)
    return compressed if compressed.exists() else path


def open_rollout(path: str | os.PathLike[str], buffering: int = _BUFFER) -> BinaryIO:
    """The plain bytes of a rollout, of either kind, from its beginning; memory is bounded by the buffer.

    A compressed one can only be read forward. Raises OSError, also (on reading) for damaged compression.
    """
    if not is_compressed(path):
        return open(path, "rb", buffering=buffering, opener=regular)
    file = cast("BinaryIO", open(path, "rb", buffering=0, opener=regular))  # noqa: SIM115 - the reader closes it
    return cast("BinaryIO", io.BufferedReader(_Inflating(file), buffering))


def inflate(path: Path) -> Path:
    """Make a compressed rollout plain again, durably, and remove the compressed file; return the plain path.

    The modification time is kept. Does nothing for a plain file; if both are there, the plain one is left as it is.
    Raises OSError.
    """
    target = plain_path(path)
    if target == path:
        return path
    if not target.exists():
        stat = os.stat(path)
        partial = target.with_name(f"{target.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
        try:
            with open_rollout(path) as source:
                out = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
                try:
                    while block := source.read(1 << 20):
                        write_all(out, block)
                    os.fsync(out)
                finally:
                    os.close(out)
            os.utime(partial, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            # Not a rename: if another program was faster, its file may have been appended to already.
            with contextlib.suppress(FileExistsError):
                os.link(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    sync_folder(target.parent)  # before the only other copy goes
    path.unlink(missing_ok=True)
    sync_folder(target.parent)
    return target


class _Inflating(io.RawIOBase):
    """Decompresses while it is read; owns `file`."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard  # late: few homes have such files

        self._file = file
        self._fault = zstandard.ZstdError
        self._source: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            read: int = self._source.readinto(buffer)
            return read
        except self._fault as error:
            raise OSError(errno.EIO, f"damaged compression: {error}", self._file.name) from error

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
