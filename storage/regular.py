"""Open only regular files: a pipe or device under a file's name would block its reader forever."""

from __future__ import annotations

import errno
import os
import stat


def regular(path: str, flags: int, mode: int = 0o600) -> int:
    """Open a path; also an opener for `open(..., opener=regular)`. Never waits for the other end of a pipe.

    Raises OSError, also for pipes, sockets, devices and folders.
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
