"""What `fs/*` does with files. Everything here blocks, and raises OSError, or RpcError for what is not tried.

Paths are absolute and without `.` and `..`, so that a slash at the end of a link's name does not mean its target.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from base64 import b64encode
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.files import FsGetMetadataResponse, FsReadDirectoryEntry
from spindle.rpc.protocol.values import clean
from spindle.storage.durable import write_all
from spindle.storage.outside import read_open
from spindle.storage.regular import regular

LARGEST: Final = 512 << 20
"""The most bytes of a file that is read."""
ENTRIES: Final = 100_000
"""The most entries of a folder that is listed."""

_TO_ITSELF: Final = "fs/copy cannot copy a directory to itself or one of its descendants"


@contextmanager
def answered() -> Generator[None, None, None]:
    """Errors of the system as errors of the protocol."""
    try:
        yield
    except OSError as error:
        raise internal_error(f"{os.strerror(error.errno or errno.EIO)} (os error {error.errno})") from error


def normal(path: str) -> str:
    """The path without `.`, `..` and doubled slashes, as text: no link is followed."""
    return "/" + os.path.normpath(path).lstrip("/")


def read(path: str) -> str:
    """The content of a regular file, in Base64."""
    fd = _regular(path, os.O_RDONLY)
    try:
        return b64encode(read_open(fd, path, LARGEST)).decode("ascii")
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise invalid_request(f"file is too large to read: limit is {LARGEST} bytes") from error
        raise
    finally:
        os.close(fd)


def write(path: str, data: bytes) -> None:
    """Replace the content of a regular file, or create it. Links are followed; the file's mode and its links stay."""
    fd = _regular(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.ftruncate(fd, 0)
        write_all(fd, data)
    finally:
        os.close(fd)


def create_folder(path: str, parents: bool) -> None:
    """Create a folder. With `parents` it may exist."""
    if not parents:
        os.mkdir(path)
        return
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        if os.path.exists(path):
            raise
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error


def metadata(path: str) -> FsGetMetadataResponse:
    """What the path leads to."""
    own, status = os.lstat(path), os.stat(path)
    born = getattr(status, "st_birthtime", 0.0)
    return FsGetMetadataResponse(
        is_directory=stat.S_ISDIR(status.st_mode),
        is_file=stat.S_ISREG(status.st_mode),
        is_symlink=stat.S_ISLNK(own.st_mode),
        created_at_ms=max(0, int(born * 1000)),
        modified_at_ms=max(0, status.st_mtime_ns // 1_000_000),
    )


def entries(path: str) -> list[FsReadDirectoryEntry]:
    """The entries of a folder, without those that lead nowhere."""
    found: list[FsReadDirectoryEntry] = []
    with os.scandir(path) as rows:
        for row in rows:
            try:
                mode = row.stat().st_mode
            except OSError:
                continue
            if len(found) == ENTRIES:
                raise invalid_request(f"directory is too large to read: limit is {ENTRIES} entries")
            found.append(FsReadDirectoryEntry(clean(row.name), stat.S_ISDIR(mode), stat.S_ISREG(mode)))
    return found


def remove(path: str, recursive: bool, force: bool) -> None:
    """Remove what is at the path, never what a link leads to. `force`: nothing there is no error."""
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode):
            os.unlink(path)
        elif recursive:
            shutil.rmtree(path)
        else:
            os.rmdir(path)
    except FileNotFoundError:
        if not force:
            raise


def copy(source: str, target: str, recursive: bool) -> None:
    """Copy a file with its mode, a link as a link, a folder with what is in it. Pipes and devices in it are left out."""
    mode = os.lstat(source).st_mode
    if stat.S_ISDIR(mode):
        if not recursive:
            raise invalid_request("fs/copy requires recursive: true when sourcePath is a directory")
        real = os.path.realpath(source)
        if os.path.commonpath((real, os.path.realpath(target))) == real:
            raise invalid_request(_TO_ITSELF)
        _copy_folder(source, target)
    elif not _copy_one(source, target, mode):
        raise invalid_request("fs/copy only supports regular files, directories, and symlinks")


def _copy_folder(source: str, target: str) -> None:
    waiting = [(source, target)]
    while waiting:
        source, target = waiting.pop()
        os.makedirs(target, exist_ok=True)
        with os.scandir(source) as rows:
            for row in rows:
                place = os.path.join(target, row.name)
                if row.is_dir(follow_symlinks=False):
                    waiting.append((row.path, place))
                else:
                    _copy_one(row.path, place, row.stat(follow_symlinks=False).st_mode)


def _copy_one(source: str, target: str, mode: int) -> bool:
    """Whether it was a file or a link, and is copied."""
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
        return True
    if not stat.S_ISREG(mode):
        return False
    with open(_regular(source, os.O_RDONLY), "rb") as content:
        fd = _regular(target, os.O_WRONLY | os.O_CREAT, stat.S_IMODE(mode))
        with open(fd, "wb") as copied:
            if os.path.samestat(os.fstat(content.fileno()), os.fstat(fd)):
                return True  # the file is its own copy, and must not be emptied
            os.ftruncate(fd, 0)
            shutil.copyfileobj(content, copied, 1 << 20)
            os.fchmod(fd, stat.S_IMODE(mode))
    return True


def _regular(path: str, flags: int, mode: int = 0o666) -> int:
    try:
        return regular(path, flags, mode)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENXIO):  # a device, a socket, or a pipe without a reader
            raise invalid_request(f"path `{path}` is not a file") from error
        raise
