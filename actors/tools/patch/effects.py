"""What a patch does to each file: the file before, and the file after."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from attrs import frozen

from spindle.actors.tools.patch.content import MAX_BYTES, Content, UnreadableFile, read_content
from spindle.actors.tools.patch.places import Stamp

if TYPE_CHECKING:
    from spindle.storage.outside import Readable

NO_BLOB = "0" * 40
"""Git's name for no content."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


@frozen
class Image:
    """A file: its text (None for no text; `blob` is then git's name for it) and permission bits (None for the default)."""

    content: Content | None
    mode: int | None
    blob: str = NO_BLOB


@frozen
class FileEffect:
    """The change of one file. `target` is its real path, `shown` the path in the patch, made absolute."""

    target: str
    shown: str
    found: Stamp | None
    before: Image | None
    after: Image | None
    origin: str | None = None
    """The target that it was moved from."""
    link: str | None = None
    """Where it points, if it is a symbolic link; `before` is then the file it points to."""
    added: bool = False
    """Whether the last hunk for it adds it."""


def _open(real: str, readable: Readable | None) -> int:
    fd = os.open(real, _READ)
    if readable is not None:
        from spindle.storage.outside import check_open  # imported late: the program does not need it

        try:
            check_open(fd, real, readable)
        except BaseException:
            os.close(fd)
            raise
    return fd


def read_image(target: str, found: Stamp | None, readable: Readable | None, *, opaque: bool) -> Image | None:
    """The file at the real path `target`, of which `found` is the stamp; None if there is none. A link is followed.

    Raises Unreadable and OSError; with `opaque`, a file that is not text has no content instead. Blocks.
    """
    real = os.path.realpath(target) if found and found.is_link else target
    if not opaque and readable is not None and not readable(real):  # do not reveal whether it exists
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if found is None:
        return None
    try:
        fd = _open(real, readable)
    except OSError:
        if opaque:
            return Image(None, None)
        raise
    mode = os.fstat(fd).st_mode & 0o777  # writing to a file clears its set-user-id bit
    try:
        return Image(read_content(fd), mode)
    except (UnreadableFile, OSError):
        if opaque:
            return Image(None, mode, opaque_blob(fd))
        raise
    finally:
        os.close(fd)


def opaque_blob(fd: int) -> str:
    """Git's name for the content of an open file; NO_BLOB if it is not a regular file, too large or unreadable."""
    found = os.fstat(fd)
    size = left = found.st_size
    if not stat.S_ISREG(found.st_mode) or size > MAX_BYTES:  # a device may have no end
        return NO_BLOB
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        while block := os.read(fd, min(left, 65536)):
            digest.update(block)
            left -= len(block)
    except OSError:
        return NO_BLOB
    return digest.hexdigest()
