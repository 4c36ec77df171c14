"""Files and folders that a repository, a user or another program fills, read within bounds.

Links are followed, because dotfiles and skills are often links; what counts is the file they lead to. Nothing here waits
for a pipe or a device, but a network mount may take its time: call it in a worker thread that can be abandoned.
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

from attrs import frozen

from spindle.storage.regular import regular

TEXT: Final = 1 << 20
"""Bytes of a file that people write: a configuration, instructions, rules, hooks, credentials."""
CATALOG: Final = 16 << 20
"""Bytes of a list of models."""

Readable: TypeAlias = Callable[[str], bool]
"""Whether the file with this real path may be read."""

_PIECE: Final = 1 << 18
_GET_PATH: Final = 50
"""F_GETPATH of macOS."""


class Hidden(PermissionError):
    """The file is there or not, and may not be read."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def open_file(path: str | Path, readable: Readable | None = None) -> int:
    """Open a regular file for reading, if it is `readable`. Raises OSError: Hidden for one that is not."""
    if readable is not None and not readable(os.path.realpath(path)):  # which tells not even whether it is there
        raise Hidden(path)
    fd = regular(os.fspath(path), os.O_RDONLY)
    try:
        check_open(fd, path, readable)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_open(fd: int, path: str | Path, readable: Readable | None) -> None:
    """Raise Hidden unless the file that is open is `readable`, wherever links have led to it meanwhile."""
    if readable is not None and not readable(place_of(fd)):
        raise Hidden(path)


def place_of(fd: int) -> str:
    """The real path of an open file. Raises OSError where it has none any more, or the system does not tell."""
    if sys.platform == "darwin":
        import fcntl

        path = os.fsdecode(fcntl.fcntl(fd, _GET_PATH, bytes(1024)).rstrip(b"\0"))
    else:
        path = os.readlink(f"/proc/self/fd/{fd}")
    if not os.path.samestat(os.lstat(path), os.fstat(fd)):  # deleted, and something else is there now
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return path


def read_file(path: str | Path, most: int, readable: Readable | None = None) -> bytes:
    """The content of a regular file of at most `most` bytes, if it is `readable`.

    Raises OSError: Hidden; EFBIG, which names the bound, for a larger one.
    """
    fd = open_file(path, readable)
    try:
        return read_open(fd, path, most)
    finally:
        os.close(fd)


def read_open(fd: int, path: str | Path, most: int) -> bytes:
    """As `read_file`, for a file that is open already at its beginning."""
    if os.fstat(fd).st_size <= most:
        data = _start(fd, most + 1)
        if len(data) <= most:  # or it has grown
            return data
    raise OSError(errno.EFBIG, f"the file is larger than {most} bytes", str(path))


def read_start(path: str | Path, most: int, readable: Readable | None = None) -> bytes:
    """The first `most` bytes of a regular file, if it is `readable`. Raises OSError: Hidden for one that is not."""
    fd = open_file(path, readable)
    try:
        return _start(fd, most)
    finally:
        os.close(fd)


def read_placed(path: str | Path, most: int, readable: Readable | None = None) -> tuple[bytes, str | None]:
    """As `read_start`, and where the file was found to be, links followed; None where the system does not tell."""
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
    """Whether another user may have put this here: it is theirs, in a folder that everyone may write to, such as /tmp."""
    try:
        owner, folder = os.lstat(path).st_uid, os.stat(os.path.dirname(path)).st_mode
    except (OSError, ValueError):
        return False
    return bool(folder & stat.S_IWOTH) and owner not in (0, os.geteuid())


@frozen
class Walked:
    """The folders that were found, shallow first; `cut` is the one at which the bound on entries was met."""

    folders: Sequence[Path]
    cut: Path | None = None


def walk(roots: Iterable[Path], *, depth: int, most: int) -> Walked:
    """`roots` and the folders below them, each once however many links lead to it; hidden and unreadable ones are left out.

    `depth` bounds the levels below a root, `most` the entries of all folders together.
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
    except OSError:  # a link that leads to itself
        return False
