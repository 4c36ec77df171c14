"""Read files and folders of repositories, users and other programs, within bounds.

Links are followed, because dotfiles and skills are often links; the real file is checked. Pipes and devices never block
a read here, but a network mount may: call from a worker thread that can be abandoned.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.storage.regular import regular

TEXT: Final = 1 << 20
"""The most bytes of a file written by people: configuration, instructions, rules, hooks, credentials."""
CATALOG: Final = 16 << 20
"""The most bytes of a list of models."""

Readable: TypeAlias = Callable[[str], bool]
"""Whether the file with this real path may be read."""

_PIECE: Final = 1 << 18
_GET_PATH: Final = 50
"""F_GETPATH of macOS."""


class Hidden(PermissionError):
    """The file may not be read. The error does not show whether it exists."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def open_file(path: str | Path, readable: Readable | None = None) -> int:
    """Open a regular file for reading, if it is `readable`. Raises OSError; Hidden if it is not readable."""
    if readable is not None and not readable(os.path.realpath(path)):  # this does not show whether it exists
        raise Hidden(path)
    fd = regular(os.fspath(path), os.O_RDONLY)
    try:
        check_open(fd, path, readable)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_open(fd: int, path: str | Path, readable: Readable | None) -> None:
    """Raise Hidden unless the open file is `readable`, wherever links led."""
    if readable is not None and not readable(place_of(fd)):
        raise Hidden(path)


def place_of(fd: int) -> str:
    """The real path of an open file. Raises OSError if it was deleted, or the system does not give the path."""
    if sys.platform == "darwin":
        import fcntl

        path = os.fsdecode(fcntl.fcntl(fd, _GET_PATH, bytes(1024)).rstrip(b"\0"))
    else:
        path = os.readlink(f"/proc/self/fd/{fd}")
    if not os.path.samestat(os.lstat(path), os.fstat(fd)):  # deleted, and the path is another file now
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return path


def read_file(path: str | Path, most: int, readable: Readable | None = None) -> bytes:
    """The content of a regular file of at most `most` bytes, if it is `readable`.

    Raises OSError: Hidden; EFBIG, with the bound, for a larger file.
    """
    fd = open_file(path, readable)
    try:
        return read_open(fd, path, most)
    finally:
        os.close(fd)


def read_open(fd: int, path: str | Path, most: int) -> bytes:
    """As `read_file`, for an open file, positioned at its start."""
    if os.fstat(fd).st_size <= most:
        data = _start(fd, most + 1)
        if len(data) <= most:  # or it grew meanwhile
            return data
    raise OSError(errno.EFBIG, f"the file is larger than {most} bytes", str(path))


def read_start(path: str | Path, most: int, readable: Readable | None = None) -> bytes:
    """The first `most` bytes of a regular file, if it is `readable`. Raises OSError; Hidden if it is not readable."""
    fd = open_file(path, readable)
    try:
        return _start(fd, most)
    finally:
        os.close(fd)


def read_placed(path: str | Path, most: int, readable: Readable | None = None) -> tuple[bytes, str | None]:
    """As `read_start`, and the real path; None if the system does not give it."""
    fd = open_file(path, readable)
    try:
        try:
            place = place_of(fd)
        except OSError:
            place = None
        return _start(fd, most), place
    finally:
        os.close(fd)


def digest_file(path: str | Path, most: int) -> str:
    """The `digest` of a regular file of at most `most` bytes. Raises OSError, as `read_file`."""
    fd = regular(os.fspath(path), os.O_RDONLY)
    try:
        found, left = hashlib.sha256(), most + 1
        while left > 0 and (part := os.read(fd, min(left, _PIECE))):
            found.update(part)
            left -= len(part)
    finally:
        os.close(fd)
    if left <= 0:
        raise OSError(errno.EFBIG, f"the file is larger than {most} bytes", str(path))
    return f"sha256:{found.hexdigest()}"


def digest(data: bytes) -> str:
    """The SHA-256 of a file's content, as `sha256:` and its digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _start(fd: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(fd, min(most, _PIECE))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def planted(path: str | Path) -> bool:
    """Whether another user may have put this file here: that user owns it, in a folder that is writable for all, such
    as /tmp.
    """
    try:
        owner, folder = os.lstat(path).st_uid, os.stat(os.path.dirname(path)).st_mode
    except (OSError, ValueError):
        return False
    return bool(folder & stat.S_IWOTH) and owner not in (0, os.geteuid())


@frozen
class Walked:
    """The folders found, shallow first; `cut` is the folder at which the bound on entries was reached."""

    folders: Sequence[Path]
    cut: Path | None = None


def walk(roots: Iterable[Path], *, depth: int, most: int) -> Walked:
    """`roots` and the folders below them, each once even with several links; hidden and unreadable ones are skipped.

    `depth` bounds the levels below a root, `most` the entries of all folders.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = deque((root, 0) for root in roots)
    while waiting:
        folder, level = waiting.popleft()
        below: list[str] = []
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                found.append(folder)
                for entry in entries:
                    if most == 0:
                        return Walked(found, folder)
                    most -= 1
                    if level < depth and not entry.name.startswith(".") and _is_folder(entry):
                        below.append(entry.path)
        except OSError:
            pass
        waiting.extend((Path(path), level + 1) for path in sorted(below))
    return Walked(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
