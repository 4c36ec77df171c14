"""Encoded JSON that is kept: in memory of its own size."""

from typing import Final

_SMALL: Final = 64 * 1024
"""Bytes from which on what is wasted is not worth a copy."""


def packed(encoded: bytes) -> bytes:
    """The same bytes. orjson writes into a block of at least 4 KiB and leaves a short result in it; this moves it out."""
    return bytes(memoryview(encoded)) if len(encoded) < _SMALL else encoded
