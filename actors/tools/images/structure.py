"""Check the structure of an image file and read its size, without decoding the picture.

Checked is what every decoder needs: all lengths, the checksums and the compressed data of a PNG, the headers and tables of a
JPEG before its data, one picture of a GIF, the frame headers of a WebP. As decoders do, it accepts a JPEG whose data ends
early and a GIF without its last byte. (Pillow's `verify` checks PNG only, and decoding hostile files runs C code.)

Formats: PNG specification (second edition), ITU-T T.81, GIF89a, WebP container and RFC 6386.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from spindle.rpc.lazy_class import frozen

LARGEST: Final = 2**29
"""The most bytes that a PNG may inflate to."""
_BLOCK: Final = 1 << 16
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the colour type of a PNG."""
_ADAM7: Final = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
"""First column, step, first row, step for each pass of an interlaced PNG."""


class Damaged(Exception):
    """The file cannot be decoded. The message says why."""


@frozen
class Size:
    """The size of a picture, in pixels."""

    width: int
    height: int


def media_type(data: bytes) -> str | None:
    """The media type by the first bytes; None if models cannot read it."""
    for at, mark, kind in _MARKS:
        if data.startswith(mark, at):
            return kind
    return None


def check(data: bytes, kind: str) -> Size:
    """The size of the picture; `kind` is from `media_type`. Blocks for a large PNG. Raises Damaged."""
    try:
        size = _CHECKS[kind](data)
    except (struct.error, IndexError):
        raise Damaged("the file ends too early") from None
    if not size.width or not size.height:
        raise Damaged("the picture has no size")
    return size


def _png(data: bytes) -> Size:
    at, header, colours = len(_PNG), None, False
    pixels: _Inflated | None = None
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(name + body) != checksum:
            raise Damaged(f"the checksum of a chunk ({name.decode('latin-1')}) is wrong")
        if header is None:
            if name != b"IHDR":
                raise Damaged("it does not start with its header")
            header = struct.unpack(">IIBBBBB", body) if length == 13 else (0,) * 7
            pixels = _Inflated(_png_bytes(header))
        elif name == b"PLTE":
            colours = True
        elif name == b"IDAT" and pixels is not None:
            if header[3] == 3 and not colours:
                raise Damaged("its palette is missing")
            pixels.feed(body)
        elif name == b"IEND":
            break
        at += length + 12
    if pixels is None or not pixels.complete:
        raise Damaged("a part of the picture is missing")
    return Size(header[0], header[1])


def _png_bytes(header: tuple[int, ...]) -> int:
    """The inflated size of the pixels: rows of whole bytes, each after one byte."""
    match header:
        case (width, height, 1 | 2 | 4 | 8 | 16 as depth, colour, 0, 0, 0 | 1 as interlaced) if colour in _CHANNELS:
            bits = depth * _CHANNELS[colour]
            passes = _ADAM7 if interlaced else ((0, 1, 0, 1),)
        case _:
            raise Damaged("its header is invalid")
    total = 0
    for left, across, top, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    if total > LARGEST:
        raise Damaged(f"it would inflate to more than {LARGEST} bytes")
    return total


class _Inflated:
    """Counts the inflated bytes of compressed data, and keeps none."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self._stream = zlib.decompressobj()

    @property
    def complete(self) -> bool:
        return self._left <= 0

    def feed(self, data: bytes) -> None:
        for at in range(0, len(data), _BLOCK):  # unconsumed data is copied, so blocks are small
            block = data[at : at + _BLOCK]
            while block and not self.complete and not self._stream.eof:
                try:
                    self._left -= len(self._stream.decompress(block, _BLOCK))
                except zlib.error:
                    raise Damaged("its compressed data is damaged") from None
                block = self._stream.unconsumed_tail


def _jpeg(data: bytes) -> Size:
    at, size, tables = 2, None, False
    while True:
        if data[at] != 0xFF:
            raise Damaged("a marker is missing")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        if marker in (0xD8, 0xD9):
            raise Damaged("it ends before the picture")
        (length,) = struct.unpack_from(">H", data, at)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 3)
            size = Size(width, height)
        tables = tables or marker == 0xDB
        at += length
        if length < 2 or at > len(data):
            raise Damaged("the file ends too early")
        if marker == 0xDA:
            break
    if size is None or not tables:
        raise Damaged("a table is missing")
    if at >= len(data):
        raise Damaged("the picture is missing")
    return size


def _gif(data: bytes) -> Size:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colours(flags)
    while data[at] == 0x21:
        at = _blocks(data, at + 2)
    if data[at] != 0x2C:
        raise Damaged("the picture is missing")
    _blocks(data, at + 11 + _colours(data[at + 9]))
    return Size(width, height)


def _colours(flags: int) -> int:
    """The size of the colour table, by the flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> int:
    """The index after a series of blocks with their lengths, up to and including the empty one."""
    while length := data[at]:
        at += 1 + length
    return at + 1


def _webp(data: bytes) -> Size:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise Damaged("the file ends too early")
    at, canvas = 12, None
    while True:
        name, length = struct.unpack_from("<4sI", data, at)
        start = at + 8
        if start + length > len(data):
            raise Damaged("the file ends too early")
        match name:
            case b"VP8X":
                wide, high = data[start + 4 : start + 7], data[start + 7 : start + 10]
                canvas = Size(int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1)
            case b"ANMF" if canvas is not None:
                return canvas
            case b"VP8 ":
                if data[start] & 1 or data[start + 3 : start + 6] != b"\x9d\x01\x2a":
                    raise Damaged("the picture has an invalid start")
                width, height = struct.unpack_from("<HH", data, start + 6)
                return canvas or Size(width & 0x3FFF, height & 0x3FFF)
            case b"VP8L":
                if data[start] != 0x2F:
                    raise Damaged("the picture has an invalid start")
                (bits,) = struct.unpack_from("<I", data, start + 1)
                return canvas or Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            case _:
                pass
        at = start + length + length % 2


_MARKS: Final = (
    (0, _PNG, "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
)
"""The media types that models read: the offset of the magic bytes, the bytes, the type. Providers refuse every request whose
conversation contains another type."""
_CHECKS: Final[Mapping[str, Callable[[bytes], Size]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
}
