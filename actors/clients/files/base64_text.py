"""Base64 as the protocol takes it: the standard alphabet, padded, without blanks or spare bits."""

from __future__ import annotations

import binascii
import string
from base64 import b64encode
from typing import Final

_ALPHABET: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


class InvalidBase64(ValueError):
    """The text is not valid; the message says why."""


def decode(text: str) -> bytes:
    """The bytes. Raises InvalidBase64, in the words of the reference."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (ValueError, binascii.Error):
        raise InvalidBase64(_fault(text)) from None
    if len(text) % 4 == 0 and not data[-2:] and not text:
        return data
    if b64encode(data[-(len(data) % 3 or 3) :]).decode() != text[-4:]:
        raise InvalidBase64(_fault(text))
    return data


def _fault(text: str) -> str:
    body = text.rstrip("=")
    padding = len(text) - len(body)
    for offset, symbol in enumerate(body.encode()):
        if chr(symbol) not in _ALPHABET:
            return f"Invalid symbol {symbol}, offset {offset}."
    if padding > 2 or (padding and len(body) % 4 < 2):
        return f"Invalid symbol 61, offset {len(body)}."
    if len(body) % 4 == 1:
        return f"Invalid input length: {len(body)}"
    if len(text) % 4:
        return "Invalid padding"
    return f"Invalid last symbol {ord(body[-1])}, offset {len(body) - 1}."
