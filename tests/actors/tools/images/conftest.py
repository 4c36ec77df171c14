"""Small pictures in each format, made by hand."""

import struct
import zlib

import pytest


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width=4, height=4, *, depth=8, colour=2, interlaced=0, pixels=None, after=b"", idat=None, end=True):
    """`pixels` are the rows with the byte before each; an RGB picture by default."""
    if pixels is None:
        pixels = (b"\0" + b"\x10\x20\x30" * width) * height
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    body = chunk(b"IDAT", zlib.compress(pixels)) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + header + after + body + (chunk(b"IEND", b"") if end else b"")


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(width=9, height=7, *, data=b"\x12\x34\xff\xd9", tables=True):
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")
    table = segment(0xDB, bytes(65)) if tables else b""
    return b"\xff\xd8" + segment(0xE0, b"JFIF\0") + table + b"\xff" + segment(0xC0, frame) + scan + data


def gif(width=3, height=2, *, end=b"\x3b"):
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    comment = b"\x21\xfe\x02hi\x00"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + screen + comment + picture + end


def webp(*chunks):
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


LOSSY = (b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 6, 5) + b"data")
LOSSLESS = (b"VP8L", b"\x2f" + struct.pack("<I", 5 | 4 << 14) + b"x")
EXTENDED = (b"VP8X", bytes(4) + (10).to_bytes(3, "little") + (20).to_bytes(3, "little"))


class Pictures:
    png, chunk = staticmethod(png), staticmethod(chunk)
    jpeg, gif, webp = staticmethod(jpeg), staticmethod(gif), staticmethod(webp)
    lossy, lossless, extended = LOSSY, LOSSLESS, EXTENDED


@pytest.fixture
def pictures():
    """The functions that make pictures."""
    return Pictures
