"""Opening what has to be a file: anything may lie under a rollout's name, and a pipe would make its reader wait for ever."""

from __future__ import annotations

import errno
import os
import stat


def regular(path: str, flags: int, mode: int = 0o600) -> int:
    """Open a path; for `open(..., opener=regular)` too. Never waits for a writer or reader at the other end.

    Raises OSError, also for pipes, sockets and devices; folders are refused as `open` does.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    try:
        kind = os.fstat(fd).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "Not a regular file", path)
    except BaseException:
        os.close(fd)
        raise
    return fd
