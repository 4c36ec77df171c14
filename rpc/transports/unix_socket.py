"""Bind a Unix socket that other users cannot open at any moment. Everything here blocks: use a worker thread."""

import errno
import fcntl
import os
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from spindle.rpc.lazy_class import frozen

PATIENCE: Final = 5.0
"""Seconds to wait for a process that holds the lock of the socket's folder."""
_PAUSE: Final = 0.005


@frozen
class BoundSocket:
    """A listening socket and its file; `identity` is the file's device and inode."""

    socket: socket.socket
    path: Path
    identity: tuple[int, int]


def bind_unix(path: Path, backlog: int) -> BoundSocket:
    """Listen on a socket file of mode 0600; a stale one is replaced, and missing folders are made with mode 0700.

    The socket is bound in a private folder and renamed after its mode is set. So other users can connect at no moment,
    and `path` is missing at no moment. (Changing the umask would change it for all threads of the process.) Raises
    OSError: EADDRINUSE if a server answers at `path`, EEXIST if `path` is not a socket, EPERM if another user could
    replace the file, ETIMEDOUT if another process holds the folder's lock.
    """
    path = path.absolute()
    _make_private(path.parent)
    _refuse_shared(path.parent)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with (
            _locked(path.parent) as folder,
            tempfile.TemporaryDirectory(prefix=".", dir=folder, ignore_cleanup_errors=True) as private,
        ):
            _refuse_occupied(path, folder / path.name)
            inside = Path(private, "s")
            try:
                server.bind(str(inside))
            except OSError as error:
                if "too long" not in str(error):
                    raise
                raise OSError(errno.ENAMETOOLONG, "the path is too long for a Unix socket", str(path)) from error
            inside.chmod(0o600)
            server.listen(backlog)
            found = inside.stat()
            inside.rename(path)
    except BaseException:
        server.close()
        raise
    return BoundSocket(server, path, (found.st_dev, found.st_ino))


def unlink_unix(bound: BoundSocket) -> None:
    """Remove the socket file, unless it was replaced. Never raises OSError."""
    try:
        with _locked(bound.path.parent):
            found = bound.path.lstat()
            if (found.st_dev, found.st_ino) == bound.identity:
                bound.path.unlink()
    except OSError:
        pass


def _make_private(folder: Path) -> None:
    """Make the folder and its parents with mode 0700. `Path.mkdir` with `parents` would leave the parents' mode to the
    umask.
    """
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _refuse_shared(folder: Path) -> None:
    """Raise unless other users cannot replace a file in `folder`: it is ours, or has the sticky bit (as /tmp)."""
    found, user = folder.stat(), os.geteuid()
    if user and found.st_uid not in (0, user):
        raise PermissionError(errno.EPERM, "the folder of a socket must not belong to another user", str(folder))
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise PermissionError(errno.EPERM, "the folder of a socket must not be writable for everyone", str(folder))


def _refuse_occupied(path: Path, short: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "this file is not a socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        # Only a refusal means that there is no listener. A full queue, for instance, means that there is one.
        if probe.connect_ex(str(short)) not in (errno.ECONNREFUSED, errno.ENOENT):
            raise OSError(errno.EADDRINUSE, "a server has this socket in use", str(path))


@contextmanager
def _locked(folder: Path) -> Generator[Path, None, None]:
    """Hold the folder's lock: otherwise two processes could find and replace the same stale file.

    Gives a path of the folder that is short, where the system has one: that of a socket has 108 bytes at most.
    Every user who can read the folder can lock it, so the wait is at most `PATIENCE` seconds. Raises TimeoutError,
    OSError.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    reason = f"another process has held the lock on this folder for {PATIENCE:g} s"
                    raise TimeoutError(errno.ETIMEDOUT, reason, str(folder)) from None
                time.sleep(_PAUSE)
        yield Path(f"/proc/self/fd/{fd}") if sys.platform.startswith("linux") else folder
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)  # a process that was forked meanwhile also has the descriptor
        os.close(fd)
