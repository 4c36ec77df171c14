"""The folder of a home's shared daemon: its lock, its socket and its log.

The daemon holds the lock for as long as it lives, so at most one is alive, and what a dead one has left is replaced under the
lock. A relay that gets the lock opens the socket and passes both to the daemon that it starts. So others connect at once, and
wait for the daemon in the queue of the socket.

A relay enters the folder, because the whole path may be longer than a Unix socket's 108 bytes. The daemon's functions take it.
Standard library only, and little of it: a relay has to start fast and stay small.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import suppress

LOCK = "lock"
SOCKET = "socket"
LOG = "log"
OLD_LOG = "log.1"

BACKLOG = 1024

_KEPT = b" kept"
_CREATED = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def shared_folder(home: str) -> str:
    """The folder of a home."""
    return os.path.join(home, "spindle", "shared")


def enter(home: str) -> None:
    """Make the folder if it is missing, and make it the working directory. Raises OSError, also if it is open to others."""
    folder = shared_folder(home)
    try:
        os.chdir(folder)
    except FileNotFoundError:
        from pathlib import Path  # most processes find the folder

        from spindle.storage.durable import private_folder

        private_folder(Path(folder))
        os.chdir(folder)
    found = os.stat(".")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "the folder of the shared daemon must belong to the user, with mode 0700", folder)


def take_lock() -> int | None:
    """The open and locked lock, which names no owner; None if a daemon has it, or a process that is starting one.

    Raises OSError.
    """
    lock = os.open(LOCK, os.O_RDWR | _CREATED, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
    except BaseException as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock


def sign(lock: int, kept: bool = False) -> None:
    """Write the process id into the lock. kept: the daemon stays when it has no client, and has the control socket."""
    os.pwrite(lock, b"%d%b\n" % (os.getpid(), _KEPT if kept else b""), 0)


def owner() -> tuple[str, bool]:
    """The process id of the daemon that holds the lock, and whether it is kept; ("", False) if it has not signed yet."""
    with suppress(OSError), open(LOCK, "rb") as file:
        text = file.read(32).strip()
        pid = text.removesuffix(_KEPT)
        return (pid.decode(), pid != text) if pid.isdigit() else ("", False)
    return "", False


def listen() -> socket.socket:
    """The listening socket, in place of one that a dead daemon has left. The caller holds the lock. Raises OSError."""
    leave()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(SOCKET)
        os.chmod(SOCKET, 0o600)
        server.listen(BACKLOG)
    except BaseException:
        server.close()
        leave()
        raise
    return server


def connect(patience: float) -> socket.socket | None:
    """A connection, with `patience` seconds as its timeout; None if no daemon listens, or takes it in time. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(patience)
    try:
        connection.connect(SOCKET)
    except (FileNotFoundError, ConnectionRefusedError, TimeoutError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


def leave(folder: str = "") -> None:
    """Remove the socket's file. The caller holds the lock. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, SOCKET))


def open_log(folder: str = "") -> int:
    """The log, to append to. Raises OSError."""
    return os.open(os.path.join(folder, LOG), os.O_WRONLY | os.O_APPEND | _CREATED, 0o600)


def begin_log(folder: str) -> int:
    """Another log; the earlier one is kept under another name. Raises OSError."""
    os.replace(os.path.join(folder, LOG), os.path.join(folder, OLD_LOG))
    return open_log(folder)
