"""Pictures made as small as models look at them. Needs Pillow, which is an extra (`spindle[images]`); without it they stay.

Formats: a JPEG stays one, a WebP becomes one without loss, anything else a PNG. What is said beside the picture is left out.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any, Final

from spindle.actors.tools.images.structure import Size

LONGEST: Final = 2048
"""Pixels of a side, as in Codex 0.124."""
MOST: Final = 100_000_000
"""Pixels of a picture that is still decoded; some hundred MB while it is done."""
_OPTIONS: Final[dict[str, dict[str, Any]]] = {"JPEG": {"quality": 85}, "WEBP": {"lossless": True}}


def shrunk(data: bytes, size: Size) -> tuple[str, bytes] | None:
    """The picture with sides of at most `LONGEST` pixels, as (media type, bytes); None if it is to be sent as it is.

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
            if form == "PNG" and upright.mode == "P":  # colours of a table cannot be mixed
                upright = upright.convert("RGBA")
            upright.thumbnail((LONGEST, LONGEST))
            written = io.BytesIO()
            upright.save(written, form, **_OPTIONS.get(form, {}))
    except (OSError, ValueError, SyntaxError):  # it is damaged where models may not mind
        return None
    return f"image/{form.lower()}", written.getvalue()
