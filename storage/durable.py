"""Folders and files of the home: for their owner alone, whole, and on disk when it is said that they are.

What others may do with a file depends on nobody's umask. Everything here blocks, and raises OSError.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_OF_OTHERS: Final = 0o077
# what a file system says that cannot sync a folder
_NOT_SYNCED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EROFS})


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing. Their names are on disk when this returns. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(_PRIVATE_FOLDER, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
    try:
        sync_folder(folder.parent)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()  # or the next call would take it to be on disk
        raise


def private_folder(folder: Path) -> None:
    """As `make_folder`, and what others may do with a folder that exists is taken from them."""
    make_folder(folder)
    _make_private(folder, _PRIVATE_FOLDER)


def private_database(path: Path) -> None:
    """Take from others what they may do with an SQLite file, which gives the files beside it the mode it has itself.

    The files are not opened: closing one drops the locks that SQLite holds on it in this process.
    """
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            _make_private(path.with_name(path.name + suffix), PRIVATE)


def _make_private(path: Path, mode: int) -> None:
    if os.stat(path).st_mode & _OF_OTHERS:
        with suppress(OSError):  # not ours, or a file system without modes
            os.chmod(path, mode)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; a file system that cannot do that is left alone."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise
    finally:
        os.close(fd)


def sync_data(fd: int) -> None:
    """Bring the content of a file to the disk."""
    if sys.platform == "darwin":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, in more than one piece if need be."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def append_all(fd: int, data: bytes) -> None:
    """Append all of `data` and bring it to the disk, or leave the file as it was. The caller holds a lock."""
    size = os.fstat(fd).st_size
    try:
        write_all(fd, data)
        sync_data(fd)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(fd, size)
        raise


def replace(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Let this be the content of a file, whole or not at all, and on disk when this returns."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(6).hex()}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        try:
            os.fchmod(fd, mode)
            write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
    sync_folder(path.parent)
