"""The structure of image files, without decoding: type, size and damage."""

import zlib

import pytest

from spindle.actors.tools.images.structure import Damaged, check, media_type


def size(data):
    kind = media_type(data)
    assert kind is not None
    found = check(data, kind)
    return found.width, found.height


def test_whole_pictures_have_a_size(pictures):
    p = pictures
    assert size(p.png(4, 3)) == (4, 3)
    assert size(p.png(4, 3) + b"more") == (4, 3)
    assert size(p.png(9, 1, depth=1, colour=0, pixels=b"\0\xff\x80")) == (9, 1)
    assert size(p.png(5, 5, colour=0, interlaced=1, pixels=bytes(2 + 2 + 3 + 4 + 6 + 3 * 3 + 2 * 6))) == (5, 5)
    assert size(p.jpeg(9, 7)) == size(p.jpeg(9, 7, data=b"\x12")) == (9, 7)
    assert size(p.gif(3, 2)) == size(p.gif(3, 2, end=b"")) == (3, 2)
    assert size(p.webp(p.lossy)) == (6, 5)
    assert size(p.webp(p.lossless)) == (6, 5)
    assert size(p.webp(p.extended, (b"ICCP", b"abc"), p.lossy)) == (11, 21)
    assert size(p.webp(p.extended, (b"ANIM", bytes(6)), (b"ANMF", bytes(16)))) == (11, 21)


@pytest.mark.parametrize("make", ["png", "gif", "webp", "jpeg"])
def test_a_picture_truncated_anywhere_is_damaged(pictures, make):
    whole = {
        "png": pictures.png(),
        "gif": pictures.gif(end=b""),
        "webp": pictures.webp(pictures.lossy),
        "jpeg": pictures.jpeg(data=b"\x12"),
    }[make]
    assert size(whole)
    for end in range(12, len(whole)):
        with pytest.raises(Damaged):
            size(whole[:end])


def test_a_damaged_png_says_how(pictures):
    p = pictures
    good = zlib.compress((b"\0" + bytes(12)) * 4)
    bad = {
        "checksum": p.png(idat=p.chunk(b"IDAT", good)[:-4] + b"abcd"),
        "compressed data": p.png(idat=p.chunk(b"IDAT", b"rubbish!")),
        "part of the picture is missing": p.png(pixels=bytes(26)),
        "part of the picture": p.png(idat=b""),
        "ends too early": p.png(end=False),
        "does not start": b"\x89PNG\r\n\x1a\n" + p.chunk(b"xxxx", b""),
        "header is invalid": p.png(depth=3),
        "no size": p.png(0, 4, pixels=b"\0"),
        "palette is missing": p.png(colour=3),
        "inflate to more": p.png(100_000, 100_000, pixels=b"\0"),
    }
    for reason, data in bad.items():
        with pytest.raises(Damaged, match=reason):
            size(data)
    spread = b"".join(p.chunk(b"IDAT", bytes([byte])) for byte in good)
    assert size(p.png(idat=spread)) == (4, 4)


def test_a_png_that_inflates_too_far_is_not_read_to_its_end(pictures):
    bomb = zlib.compress(bytes(50_000_000))
    assert size(pictures.png(idat=pictures.chunk(b"IDAT", bomb))) == (4, 4)


def test_other_damaged_pictures_say_how(pictures):
    p = pictures
    bad = {
        "a marker is missing": b"\xff\xd8\xff\xe0\0\x02rubbish",
        "ends before the picture": b"\xff\xd8\xff\xd9",
        "table": p.jpeg(tables=False),
        "picture is missing": p.jpeg(data=b""),
        "no size": p.jpeg(0, 7),
        "has an invalid start": p.webp((b"VP8 ", b"\x11\0\0\x9d\x01\x2a" + bytes(8))),
        "the picture has an invalid start": p.webp((b"VP8L", b"\x2e" + bytes(8))),
        "the picture is missing": p.gif().replace(b"\x2c", b"\x3b"),
    }
    for reason, data in bad.items():
        with pytest.raises(Damaged, match=reason):
            size(data)


def test_a_kind_shows_in_the_first_bytes():
    assert media_type(b"words") is media_type(b"") is media_type(b"GIF80a") is None
