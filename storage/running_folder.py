"""The folder with a socket for each running runtime of a home, which `spindle top` asks.

A socket's name is `<pid>.<word>`: a process may have several runtimes. The folder belongs to the user, with mode 0700.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from spindle.storage.durable import private_folder
from spindle.storage.locks import is_alive


@contextmanager
def open_folder(folder: Path, *, make: bool = False) -> Generator[Path]:
    """A path by which the sockets in a folder (`Home.running`) are reached inside the block.

    It is short, since a Unix socket's path has 108 bytes at most.
    Raises OSError: FileNotFoundError without `make`; PermissionError if the folder is open to others.
    """
    if make:
        private_folder(folder)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(errno.EPERM, "the folder must belong to the user, with mode 0700", str(folder))
        yield Path(f"/proc/self/fd/{fd}") if sys.platform.startswith("linux") else folder
    finally:
        os.close(fd)


def new_name() -> str:
    """A name for another socket of this process."""
    return f"{os.getpid()}.{secrets.token_hex(4)}"


def sockets(folder: Path) -> dict[str, int]:
    """The process ids of the sockets in an open folder, by name, as their processes know them."""
    heads = {name: name.partition(".")[0] for name in os.listdir(folder)}
    return {name: int(head) for name, head in heads.items() if head.isdecimal() and stat.S_ISSOCK(_mode(folder / name))}


def sweep(folder: Path, name: str, pid: int) -> None:
    """Remove a socket at which nothing listens, if its process has ended.

    Both must hold. A process in a container may be alive and not visible here; then its socket has a listener.
    """
    if not is_alive(pid):
        with suppress(OSError):
            os.unlink(folder / name)


def _mode(path: Path) -> int:
    with suppress(OSError):
        return os.lstat(path).st_mode
    return 0
