"""Lines and messages of a broken or hostile client: valid ones, and mutations of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen
from tests.actors.poison.poisons import ACTING, LONG, POISONS, UNREADABLE, Samples, nested, put

from spindle.actors.clients.methods import HANDLERS
from spindle.rpc.protocol.catalog import METHODS, params_class

METHOD_NAMES: Final = tuple(sorted(name for name in {"initialize", *HANDLERS} if not name.startswith(ACTING)))
READABLE: Final = tuple(poison for name, poison in POISONS.items() if name not in UNREADABLE and poison is not LONG)
NOT_UTF8: Final = (
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\x80",
    b"\xf8\x88\x80\x80\x80",
)
UNREAD: Final = tuple(poison for name, poison in POISONS.items() if name in UNREADABLE and poison.isascii())
"""Harmful values that make a message unreadable as JSON, but are valid UTF-8."""
BAD_IDS: Final = (
    *(
        b"null",
        b"true",
        b"1.5",
        b"{}",
        b"[]",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"1e3",
        b"NaN",
        rb'"\ud800"',
    ),
    *(b"9" * 400, b"-"),
)
LONG_ONES: Final = 2000
"""A message with at least so many bytes is a long one."""


@frozen
class Message:
    """A message without its framing. `answers`: how many answers with this `id` must come. None: at most one, with any id."""

    data: bytes
    id: object = None
    answers: int | None = 0


class Messages:
    """Draws messages. `threads`: the ids of existing threads."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.threads: list[str] = []

    def next(self) -> Message:
        """Any message: mostly requests, and few long ones."""
        while len((message := self._any()).data) > LONG_ONES and self._draw.random() < 0.98:
            pass
        return message

    def _any(self) -> Message:
        kinds: Mapping[Callable[[], Message], int] = {
            self.request: 50,
            self.unread: 10,
            self.damaged: 20,
            self.without_an_answer: 12,
            self.noise: 8,
        }
        (kind,) = self._draw.choices(list(kinds), list(kinds.values()))
        return kind()

    def id(self) -> tuple[bytes, object]:
        """An id that no other message has, as JSON and as its value."""
        draw = self._draw
        number = draw.getrandbits(63) * draw.choice((1, -1))
        if draw.random() < 0.5:
            return b"%d" % number, number
        text = f"{number} " + draw.choice(("", "é", "\U0001f600", '"', "\\", "\0", "\n", "x" * 3000))
        return json.dumps(text, ensure_ascii=draw.random() < 0.5).encode(), text

    def request(self) -> Message:
        """A request in valid JSON, with a valid or a harmful value in it."""
        return self._request(self._draw.choice((*READABLE, b'"text"', b"1")))

    def unread(self) -> Message:
        """A request that is not JSON, or too deep, after its id and its method."""
        deep = nested(self._draw.choice((126, 127, 128, 1_000, 20_000)))
        return self._request(self._draw.choice((*UNREAD, deep)))

    def _request(self, value: bytes) -> Message:
        draw = self._draw
        method = (
            draw.choice(METHOD_NAMES) if draw.random() < 0.95 else draw.choice(("", "no/such", "thread\0", "x" * 2000))
        )
        params = value
        if method in METHODS and METHODS[method].params and draw.random() < 0.9:
            which = int(draw.random() * len(self.threads))  # the next draws do not depend on their number
            thread = self.threads[which] if self.threads else "00000000-0000-7000-8000-000000000000"
            samples = Samples({"threadId": thread, "conversationId": thread, "cwd": "/tmp"})
            places = [sample for _, sample in samples.poisoned(params_class(method), depth=3)]
            params = put(draw.choice(places), value)
        written, id = self.id()
        members = [b'"id":' + written, b'"method":' + json.dumps(method).encode()]
        if draw.random() < 0.2:
            members.reverse()
        if draw.random() < 0.95:
            members.append(b'"params":' + params)
        if draw.random() < 0.1:
            members.insert(0, b'"jsonrpc":"2.0"')
        space = draw.choice((b"", b"", b"", b" ", b"\t", b"\r"))
        return Message(b"{" + (b"," + space).join(members) + b"}" + space, id, 1)

    def damaged(self) -> Message:
        """A request with some bytes changed. It may still be a request, and its id may be another."""
        draw = self._draw
        data = bytearray(self.request().data)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(data) + 1)
            match draw.randrange(5):
                case 0:
                    del data[at : at + draw.choice((1, 1, 2, 10, 1000))]
                case 1:
                    data[at:at] = draw.choice((b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"0", b"\0", *NOT_UTF8))
                case 2 if at < len(data):
                    data[at] ^= 1 << draw.randrange(8)
                case 3:
                    data[at:at] = data[draw.randrange(len(data) + 1) :][: draw.randint(1, 100)]
                case _:
                    data[at:at] = draw.choice(list(POISONS.values())[:-3])[:5000]
        return Message(bytes(data).replace(b"\n", b" "), answers=None)

    def without_an_answer(self) -> Message:
        """Notifications, answers without a request, and invalid ids."""
        draw = self._draw
        value = draw.choice(READABLE)
        written, _ = self.id()
        return Message(
            draw.choice(
                (
                    b'{"method":"initialized"}',
                    b'{"method":"cancel","params":%b}' % value,
                    b'{"id":%b,"result":%b}' % (written, value),
                    b'{"id":%b,"error":%b}' % (written, value),
                    b'{"id":%b,"error":{"code":%b,"message":%b}}' % (written, value, value),
                    b'{"id":%b}' % written,
                    b'{"id":%b,"method":%b}' % (written, draw.choice((b"1", b"null", b"[]"))),
                    b'{"id":%b,"method":"thread/list","params":{}}' % draw.choice(BAD_IDS),
                )
            ),
            answers=None if value in UNREAD else 0,
        )

    def noise(self) -> Message:
        """Bytes that are not a message."""
        draw = self._draw
        data = draw.choice(
            (
                b"",
                b" ",
                b"[]",
                b"null",
                b'"text"',
                b"0",
                b"{}",
                b"{",
                b'{"id":',
                b"\0" * draw.choice((1, 5000)),
                b"GET / HTTP/1.1\r",
                b"Content-Length: 20\r",
                b"\xef\xbb\xbf{}",
                b"[" * draw.choice((10, 10_000)),
                b'{"a":' * 5000,
                draw.randbytes(draw.choice((1, 10, 300, 5000))).replace(b"\n", b""),
                LONG if draw.random() < 0.05 else b"x",
            )
        )
        return Message(data, answers=0)
