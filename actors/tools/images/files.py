"""An image file as it goes to a model: checked, made smaller if need be, and put into a data URL."""

from __future__ import annotations

import base64
import errno
import mimetypes
from pathlib import Path
from typing import Final

from spindle.actors.tools.images.shrinking import shrunk
from spindle.actors.tools.images.structure import Damaged, check, media_type
from spindle.storage.outside import Readable, read_file

LARGEST: Final = 32 * 1024 * 1024
"""Bytes of an image file that is still read."""


class NotAnImage(Exception):
    """The file is none that models can look at; the message says what it seems to be, or how it is damaged."""


class NotAFile(NotAnImage):
    """There is something else in its place, or too much of it."""


def data_url(path: Path, readable: Readable | None = None) -> str:
    """The image in a file as a data URL, if the file is `readable`. Blocks; raises NotAnImage, OSError: Hidden if it is not."""
    data = _content(path, readable)
    kind = media_type(data)
    if kind is None:
        raise NotAnImage(f"unsupported image `{mimetypes.guess_type(path.name)[0] or 'application/octet-stream'}`")
    try:
        size = check(data, kind)
    except Damaged as error:
        raise NotAnImage(f"failed to decode image: {error}") from None
    kind, data = shrunk(data, size) or (kind, data)
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _content(path: Path, readable: Readable | None) -> bytes:
    try:
        return read_file(path, LARGEST, readable)
    except OSError as error:
        match error.errno:
            case errno.EINVAL | errno.EISDIR:
                raise NotAFile("it is not a file") from None
            case errno.EFBIG:
                raise NotAFile(f"it is larger than {LARGEST} bytes") from None
            case _:
                raise
