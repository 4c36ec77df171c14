"""Create and write folders and files of the home: private, atomic, and fsynced.

Modes do not depend on the umask. Everything here blocks, and raises OSError.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_OF_OTHERS: Final = 0o077
# errors of file systems that cannot fsync a folder
_NOT_SYNCED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EROFS})


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and fsync their names. Raises OSError."""
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
            folder.rmdir()  # else the next call would assume that it is fsynced
        raise


def private_folder(folder: Path) -> None:
    """As `make_folder`; also removes other users' permissions from an existing folder."""
    try:
        mode = os.stat(folder).st_mode
    except OSError:
        mode = 0
    if not stat.S_ISDIR(mode):
        make_folder(folder)
        mode = os.stat(folder).st_mode
    _make_private(folder, mode, _PRIVATE_FOLDER)


def private_database(path: Path) -> None:
    """Remove other users' permissions from an SQLite file; SQLite gives its other files the same mode.

    The files are not opened: closing one would release the locks that SQLite holds on it in this process.
    """
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            file = path.with_name(path.name + suffix)
            _make_private(file, os.stat(file).st_mode, PRIVATE)


def _make_private(path: Path, mode: int, private: int) -> None:
    if mode & _OF_OTHERS:
        with suppress(OSError):  # another owner, or a file system without modes
            os.chmod(path, private)


def sync_folder(folder: Path) -> None:
    """Fsync the names in a folder, if the file system can."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise
    finally:
        os.close(fd)


def sync_data(fd: int) -> None:
    """Fsync the content of a file."""
    if sys.platform == "darwin":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, with several calls if needed."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def append_all(fd: int, data: bytes) -> None:
    """Append all of `data` and fsync it, or leave the file unchanged. The caller holds a lock."""
    size = os.fstat(fd).st_size
    try:
        write_all(fd, data)
        sync_data(fd)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(fd, size)
        raise


def replace(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Replace the content of a file atomically, and fsync it."""
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
