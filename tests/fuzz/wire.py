"""Valid and invalid bytes of RFC 6455 and of the request head before it, and the reading of a server's bytes."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import define, field

from .messages import NOT_UTF8

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HEAD: Final = (
    b"GET / HTTP/1.1",
    b"Host: localhost",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
LINES: Final = (
    *(b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET /readyz HTTP/1.1", b"POST /healthz HTTP/1.1", b"HEAD / HTTP/1.1"),
    *(
        b"GET http://localhost/ HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"get / http/1.1",
        b"GET  / HTTP/1.1",
        b"\0",
        b"PRI * HTTP/2.0",
    ),
    *(b"GET /" + b"x" * 20_000 + b" HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT localhost:1 HTTP/1.1"),
)
HEADERS: Final = (
    *(
        b"Origin: null",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: " + b"9" * 30,
        b"Transfer-Encoding: chunked",
    ),
    *(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", b"Sec-WebSocket-Extensions: \xe4;;=,"),
    *(
        b"Sec-WebSocket-Protocol: a, b",
        b"Sec-WebSocket-Protocol: ,",
        b"Expect: 100-continue",
        b": no name",
        b"no colon",
    ),
    *(
        b" folded: line",
        b"Host: other",
        b"Connection: close",
        b"Upgrade: h2c",
        b"Sec-WebSocket-Version: 8",
        b"X: " + b"y" * 20_000,
    ),
    *(
        b"Sec-WebSocket-Key: short",
        b"Sec-WebSocket-Key: \xff",
        b"X\xe9: y",
        b"X: \0",
        b"X: a\rb",
        b"Authorization: Bearer x",
    ),
)
BAD_CODES: Final = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)


def head(draw: random.Random) -> bytes:
    """The head of a request: valid, with some changes, or random bytes."""
    if draw.random() < 0.1:
        return garbage(draw)
    lines = list(HEAD)
    for _ in range(draw.randint(0, 3)):
        at = draw.randrange(len(lines))
        match draw.randrange(6):
            case 0:
                lines[0] = draw.choice(LINES)
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                lines.insert(at, draw.choice(HEADERS))
            case 3:
                lines.append(draw.choice(HEADERS))
            case 4:
                line = bytearray(lines[at])
                line[draw.randrange(len(line))] = draw.randrange(256)
                lines[at] = bytes(line)
            case _:
                lines.append(lines[at])
    return draw.choice((b"\r\n",) * 9 + (b"\n",)).join((*lines, b"", b"")) + draw.randbytes(draw.choice((0, 0, 5, 500)))


def frame(
    draw: random.Random, opcode: int, payload: bytes, *, final: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """One frame of a client."""
    size, first, bit = len(payload), (0x80 if final else 0) | reserved << 4 | opcode, 0x80 if masked else 0
    start = (
        struct.pack("!BB", first, bit | size)
        if size < 126
        else struct.pack("!BBH", first, bit | 126, size)
        if size < 65536
        else struct.pack("!BBQ", first, bit | 127, size)
    )
    if not masked:
        return start + payload
    mask = draw.choice((draw.randbytes(4), b"\0\0\0\0"))
    key = (mask * (size // 4 + 1))[:size]
    return start + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def fragments(draw: random.Random, payload: bytes, opcode: int = TEXT) -> Iterator[bytes]:
    """A message in one frame or several, some empty, with control frames between them."""
    cuts = sorted(draw.randint(0, len(payload)) for _ in range(draw.choice((0, 0, 0, 1, 3, 20))))
    for number, (begin, end) in enumerate(zip((0, *cuts), (*cuts, len(payload)), strict=True)):
        yield frame(draw, 0 if number else opcode, payload[begin:end], final=number == len(cuts))
        if draw.random() < 0.2:
            yield control(draw)


def garbage(draw: random.Random) -> bytes:
    """Random bytes: none, some, or sometimes many."""
    return draw.randbytes(100_000 if draw.random() < 0.02 else draw.choice((0, 0, 10, 500)))


def control(draw: random.Random) -> bytes:
    """A ping, or a pong without a ping."""
    return frame(draw, draw.choice((PING, PONG)), draw.randbytes(draw.choice((0, 1, 125))))


def goodbye(draw: random.Random) -> bytes:
    """A valid close frame."""
    code = draw.choice((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 4999))
    return frame(
        draw, CLOSE, draw.choice((b"", struct.pack("!H", code) + draw.choice((b"", "für".encode(), b"x" * 123))))
    )


def violation(draw: random.Random) -> bytes:
    """A violation for which the server has to close the connection, with the code."""
    text, bad = b'{"method":"initialized"}', draw.choice(NOT_UTF8)
    size = draw.choice((2**63, 2**63 + 1, 2**64 - 1))
    return draw.choice(
        (
            frame(draw, TEXT, text, reserved=draw.randint(1, 7)),
            frame(draw, PING, text, reserved=4),
            frame(draw, draw.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), text),
            frame(draw, TEXT, text, masked=False),
            frame(draw, CLOSE, b"", masked=False),
            struct.pack("!BBQ", 0x80 | draw.choice((TEXT, BINARY)), 0xFF, size)
            + draw.randbytes(4 + draw.choice((0, 50))),
            struct.pack("!BBH", 0x81, 0xFE, draw.randint(0, 125)) + draw.randbytes(4),
            struct.pack("!BBQ", 0x81, 0xFF, draw.randint(0, 65535)) + draw.randbytes(4),
            struct.pack("!BB", 0x80 | draw.choice((CLOSE, PING, PONG)), draw.choice((0xFE, 0xFF)))
            + draw.randbytes(300),
            frame(draw, draw.choice((CLOSE, PING, PONG)), b"x", final=False),
            frame(draw, 0, text),
            frame(draw, TEXT, text, final=False) + frame(draw, draw.choice((TEXT, BINARY)), text),
            frame(draw, TEXT, bad + b"a"),
            frame(draw, TEXT, text + bad),
            frame(draw, TEXT, bad[:1], final=False) + frame(draw, 0, b"a"),
            frame(draw, CLOSE, b"\x03"),
            frame(draw, CLOSE, struct.pack("!H", draw.choice(BAD_CODES)) + b"why"),
            frame(draw, CLOSE, struct.pack("!H", 1000) + bad),
        )
    )


def unfinished(draw: random.Random) -> bytes:
    """A frame whose end does not come, with any length in its head."""
    size = draw.choice((1000, 70_000, 2**31, 2**32, 2**62, 2**63 - 1))
    whole = frame(draw, draw.choice((TEXT, BINARY)), b"x" * 1000)
    announced = struct.pack("!BBQ", draw.choice((0x01, 0x81, 0x82)), 0xFF, max(size, 65536)) + b"\0\0\0\0" + b"x" * 1000
    return draw.choice((whole[: draw.randint(1, len(whole) - 1)], announced))


@define
class Frames:
    """Reads what a server sends: the answer to the head, messages, and a close frame."""

    status: int | None = None
    messages: list[Any] = field(factory=list)
    code: int | None = None
    """The code of the close frame; 1005 if it has none."""
    _data: bytearray = field(factory=bytearray)
    _part: bytes = b""

    def feed(self, data: bytes) -> None:
        """Read bytes. Raises AssertionError for what no server may send."""
        self._data += data
        if self.status is None:
            start, blank, rest = bytes(self._data).partition(b"\r\n\r\n")
            if not blank:
                return
            assert start.startswith(b"HTTP/1.1 "), start[:200]
            self.status = int(start.split()[1])
            self._data = bytearray(rest)
        if self.status != 101:
            return
        while parsed := self._frame():
            first, payload = parsed
            assert not first & 0x70
            match first & 0xF:
                case 0 | 1:
                    self._part += payload
                    if first & 0x80:
                        self.messages.append(json.loads(self._part))
                        self._part = b""
                case 8:
                    self.code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                case opcode:
                    assert opcode in (9, 10), opcode

    def _frame(self) -> tuple[int, bytes] | None:
        data, at = self._data, 2
        if len(data) < 2:
            return None
        size = data[1]
        assert size < 128, "a masked frame"
        if size > 125:
            form = struct.Struct("!H" if size == 126 else "!Q")
            if len(data) < 2 + form.size:
                return None
            (size,) = form.unpack_from(data, 2)
            at += form.size
        if len(data) < at + size:
            return None
        parsed = data[0], bytes(data[at : at + size])
        del data[: at + size]
        return parsed


@define
class Lines:
    """Reads what a server writes, one message a line."""

    messages: list[Any] = field(factory=list)
    _rest: bytes = b""

    def feed(self, data: bytes) -> None:
        """Read bytes. Raises ValueError for a line that is not JSON."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.messages += map(json.loads, lines)


def cut(draw: random.Random, parts: Sequence[bytes]) -> Iterator[bytes]:
    """The same bytes, in other pieces."""
    data = b"".join(parts)
    while data:
        size = draw.choice((1, 7, 1000, 16_384, 65_536, len(data)))
        yield data[:size]
        data = data[size:]
