"""An image file as a data URL for a model: checked, and made smaller if it is large.

Making it smaller needs Pillow, an extra (`spindle[images]`); without it the image is sent as it is. A JPEG stays a JPEG, a WebP
becomes a lossless WebP, other formats become PNG. Metadata is left out.
"""

from __future__ import annotations

import base64
import errno
import io
import mimetypes
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from spindle.actors.tools.images.structure import Damaged, Size, check, media_type
from spindle.storage.outside import Readable, read_file

LARGEST: Final = 32 * 1024 * 1024
"""The largest image file that is read, in bytes."""
LONGEST: Final = 2048
"""Largest side in pixels, as in Codex 0.124."""
MOST: Final = 100_000_000
"""The largest picture that is decoded, in pixels; that takes some hundred MB of memory."""
_OPTIONS: Final[dict[str, dict[str, Any]]] = {"JPEG": {"quality": 85}, "WEBP": {"lossless": True}}


class NotAnImage(Exception):
    """Models cannot read the file. The message has its apparent type, or how it is damaged."""


class NotAFile(NotAnImage):
    """The path is not a regular file, or the file is too large."""


def data_url(path: Path, readable: Readable | None = None) -> str:
    """The image in a file as a data URL. Blocks. Raises NotAnImage, OSError, and Hidden if it is not `readable`."""
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


def shrunk(data: bytes, size: Size) -> tuple[str, bytes] | None:
    """The picture with sides of at most `LONGEST` pixels, as (media type, bytes); None to send it as it is.

    Blocks; for worker threads.
    """
    if max(size.width, size.height) <= LONGEST or size.width * size.height > MOST:
        return None
    try:
        image_module: Any = import_module("PIL.Image")
        operations: Any = import_module("PIL.ImageOps")
    except ImportError:
        return None
    try:
        with image_module.open(io.BytesIO(data)) as image:
            form = image.format if image.format in _OPTIONS else "PNG"
            upright = operations.exif_transpose(image)
            if form == "PNG" and upright.mode == "P":  # a palette cannot be interpolated
                upright = upright.convert("RGBA")
            upright.thumbnail((LONGEST, LONGEST))
            written = io.BytesIO()
            upright.save(written, form, **_OPTIONS.get(form, {}))
    except (OSError, ValueError, SyntaxError):  # damaged for Pillow; a model may still read it
        return None
    return f"image/{form.lower()}", written.getvalue()
