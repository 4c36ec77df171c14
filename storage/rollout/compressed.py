"""Compressed rollouts, as Codex 0.169 has them too: `rollout-….jsonl.zst`, the same lines in zstd frames.

Files unchanged for a week are compressed, and a file is decompressed before something is appended. Clients always see the
plain name. If both files exist, the plain one is used.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from spindle.storage.durable import PRIVATE, sync_folder, write_all
from spindle.storage.regular import regular

SUFFIX = ".zst"
"""The suffix of a compressed rollout's name, after `.jsonl`."""

_BUFFER = 1 << 16


def is_compressed(path: str | os.PathLike[str]) -> bool:
    """Whether this is the name of a compressed file."""
    return os.fspath(path).endswith(SUFFIX)


def plain_path(path: Path) -> Path:
    """The name of a rollout for clients and, when inflated, on disk."""
    return path.with_name(path.name.removesuffix(SUFFIX))


def existing(path: Path) -> Path:
    """The existing file of a rollout: `path`, or its compressed form if only that exists."""
    if is_compressed(path) or path.exists():
        return path
    compressed = path.with_name(path.name + SUFFIX)
    return compressed if compressed.exists() else path


def open_rollout(path: str | os.PathLike[str], buffering: int = _BUFFER) -> BinaryIO:
    """The decompressed bytes of a rollout, compressed or not, from its start; the buffer bounds the memory.

    A compressed file can only be read forward. Raises OSError, while reading also for damaged compression.
    """
    if not is_compressed(path):
        return open(path, "rb", buffering=buffering, opener=regular)
    file = cast("BinaryIO", open(path, "rb", buffering=0, opener=regular))  # noqa: SIM115 - the reader closes it
    return cast("BinaryIO", io.BufferedReader(_Inflating(file), buffering))


def inflate(path: Path) -> Path:
    """Decompress a rollout, fsync it, and remove the compressed file; return the plain path.

    The modification time is kept. Does nothing for a plain file. If both files exist, the plain one is kept unchanged.
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
            # Not a rename: another program may have created the plain file first, and appended to it.
            with contextlib.suppress(FileExistsError):
                os.link(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    sync_folder(target.parent)  # before the only other copy is removed
    path.unlink(missing_ok=True)
    sync_folder(target.parent)
    return target


def deflate(path: Path, check: Callable[[], object]) -> bool:
    """Compress a rollout, fsync it, and remove the plain file. The modification time is kept.

    `check` is called after each block and may raise. Returns False, with nothing changed, if the file changes meanwhile.
    The caller holds the writer's lock. Raises OSError.
    """
    import zstandard

    target = path.with_name(path.name + SUFFIX)
    partial = target.with_name(f"{target.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with open_rollout(path) as source:
            before = os.fstat(source.fileno())
            packer = zstandard.ZstdCompressor(write_checksum=True).compressobj(size=before.st_size)
            out = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
            try:
                left = before.st_size
                while left and (block := source.read(min(left, 1 << 20))):
                    left -= len(block)
                    write_all(out, packer.compress(block))
                    check()
                if left:
                    return False
                write_all(out, packer.flush())
                os.fsync(out)
            finally:
                os.close(out)
        os.utime(partial, ns=(before.st_atime_ns, before.st_mtime_ns))
        now = os.stat(path)
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
            return False
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(target.parent)  # before the only other copy is removed
    path.unlink()
    sync_folder(target.parent)
    return True


class _Inflating(io.RawIOBase):
    """Decompresses while reading; owns `file`."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard  # imported late: few homes have such files

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
