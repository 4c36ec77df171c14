"""Make the n-th system call on a folder fail, as with a full disk, a broken disk, or no free descriptors.

The functions of `os` are replaced; all of `storage` except SQLite uses them. A clean run counts the calls; then each
call fails once, in a run of its own.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHORT = "short"
FAULTS: tuple[int | str, ...] = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EINTR)
WRITE_FAULTS: tuple[int | str, ...] = (SHORT, *FAULTS)

OF_DESCRIPTORS = ("write", "pwrite", "pread", "preadv", "fsync", "fdatasync", "fstat", "ftruncate", "close", "fchmod")
OF_PATHS = ("open", "stat", "lstat", "rename", "replace", "link", "unlink", "rmdir", "mkdir", "utime", "chmod", "listdir")
SYNCS = ("fsync", "fdatasync")


class Faults:
    """Counts the calls on `folder`; call number `at` fails with `fault`."""

    def __init__(self, folder: Path, at: int = -1, fault: int | str = errno.EIO) -> None:
        self.folder, self.at, self.fault = os.path.realpath(folder), at, fault
        self.calls: list[str] = []

    @property
    def failed(self) -> str | None:
        """The failed call, if there was one."""
        return self.calls[self.at] if 0 <= self.at < len(self.calls) else None

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in OF_DESCRIPTORS:
                patch.setattr(os, name, self._failing(name, getattr(os, name), self._open_here))
            for name in OF_PATHS:
                patch.setattr(os, name, self._failing(name, getattr(os, name), self._here))
            opened = self._failing("open", io.open, self._here)
            patch.setattr(io, "open", opened)
            patch.setattr(builtins, "open", opened)
            yield

    def _failing(self, name: str, real: Callable[..., Any], concerned: Callable[[Any], bool]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if not concerned(args[0] if args else None) or (real is io.open and "opener" in named):
                return real(*args, **named)
            self.calls.append(name)
            if len(self.calls) - 1 != self.at:
                return None if name in SYNCS else real(*args, **named)  # the disk is the same, only slower
            if self.fault == SHORT:
                return real(args[0], args[1][: (len(args[1]) + 1) // 2])
            if name == "close":
                real(*args, **named)  # a descriptor is closed even if closing fails
            raise OSError(self.fault, os.strerror(int(self.fault)))

        return call

    def _here(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(os.fspath(path)).startswith(self.folder)

    def _open_here(self, fd: object) -> bool:
        return isinstance(fd, int) and descriptor_path(fd).startswith(self.folder)


def descriptor_path(fd: int) -> str:
    """The path of a descriptor; "" if it cannot be found out."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def open_in(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    paths = [descriptor_path(int(fd)) for fd in os.listdir("/proc/self/fd")]
    return [path for path in paths if path.startswith(os.path.realpath(folder))]
