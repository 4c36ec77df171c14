"""Files and folders that a repository, a user or another program fills, read within bounds.

Links are followed, because dotfiles and skills are often links; what counts is the file they lead to. Nothing here waits
for a pipe or a device, but a network mount may take its time: call it in a worker thread that can be abandoned.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from spindle.storage.rollout.regular import regular

TEXT: Final = 1 << 20
"""Bytes of a file that people write: a configuration, instructions, rules, hooks, credentials."""
CATALOG: Final = 16 << 20
"""Bytes of a list of models."""

_PIECE: Final = 1 << 18


def read_file(path: str | Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises OSError: EFBIG, which names the bound, for a larger one."""
    fd = regular(os.fspath(path), os.O_RDONLY)
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


def read_start(path: str | Path, most: int) -> bytes:
    """The first `most` bytes of a regular file. Raises OSError."""
    fd = regular(os.fspath(path), os.O_RDONLY)
    try:
        return _start(fd, most)
    finally:
        os.close(fd)


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
