"""Sends the drawn messages to a real daemon, and checks what has to hold afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from benchmarks.driving import DEADLINE
from tests.daemon.process import Daemon

from . import wire
from .messages import Message, Messages
from .wire import Frames, Lines

_FORBIDDEN: Final = re.compile(r"\S+ (ERROR|CRITICAL) |Traceback|  File")
GROWTH: Final = 96 * 1024 * 1024
"""How much the daemon's memory may have grown when its clients have left, in bytes."""
INITIALIZE: Final = (
    b'"method":"initialize","params":'
    b'{"clientInfo":{"name":"fuzz","version":"1"},"capabilities":{"experimentalApi":true}}'
)


class Channel:
    """Both directions of a connection. It reads while it writes, so that neither side waits for the other."""

    def __init__(self, out: int, into: int, feed: Callable[[bytes], None]) -> None:
        self._out, self._into, self._feed = out, into, feed
        self.ended = False
        self.sent = 0
        for fd in {out, into}:
            os.set_blocking(fd, False)

    def write(self, data: bytes) -> None:
        """Write everything, or as much as the peer takes before it closes."""
        left, limit = memoryview(data), time.monotonic() + DEADLINE
        self.sent += len(data)
        while left and not self.ended:
            readable, writable, _ = select.select([self._into], [self._out], [], limit - time.monotonic())
            assert readable or writable, "the daemon takes nothing"
            if readable:
                self._read()
            if writable:
                try:
                    left = left[os.write(self._out, left) :]
                except BlockingIOError:
                    pass
                except (BrokenPipeError, ConnectionResetError):
                    self.until(lambda: False)
                    return

    def until(self, done: Callable[[], bool]) -> None:
        """Read until then, or until the peer has closed."""
        limit = time.monotonic() + DEADLINE
        while not done() and not self.ended:
            readable, _, _ = select.select([self._into], [], [], max(0, limit - time.monotonic()))
            assert readable, "the daemon neither answers nor closes"
            self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._into, 1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self._feed(data)


class Expected:
    """The answers that must come on a connection, and those that may."""

    def __init__(self, generator: Messages) -> None:
        self._generator = generator
        self._awaited: Counter[object] = Counter()
        self._answered: set[object] = set()
        self._may = 0
        """Expect an answer that may come, with any id, for each of so many messages."""
        self._strays: list[object] = []

    def add(self, message: Message) -> None:
        if message.answers is None:
            self._may += 1
        elif message.answers:
            self._awaited[message.id] += message.answers

    def settled(self, messages: list[Any]) -> bool:
        """Check new messages; returns whether all answers have come. Raises AssertionError for an answer too many."""
        for message in messages:
            assert type(message) is dict, message
            if "method" in message:
                assert "id" not in message, f"a question: {message}"
                continue
            self._answer(message["id"])
            assert "internal error" not in json.dumps(message.get("error")), message
            result = message.get("result")
            if isinstance(result, dict) and isinstance(thread := result.get("thread"), dict):
                self._generator.threads = [*self._generator.threads[-4:], thread["id"]]
        messages.clear()
        return not self._awaited

    def _answer(self, id: object) -> None:
        assert id not in self._answered, f"answered twice: {id}"
        if id not in self._awaited:
            self._strays.append(id)
            assert len(self._strays) <= self._may, f"answers to what was not asked: {self._strays}"
        elif self._awaited[id] > 1:
            self._awaited[id] -= 1
        else:
            del self._awaited[id]
            self._answered.add(id)

    def await_all(self, channel: Channel, received: Lines | Frames) -> None:
        """Raise AssertionError if a request has no answer."""
        channel.until(lambda: self.settled(received.messages))
        assert self.settled(received.messages), f"closed without an answer to {list(self._awaited)[:5]}"


def converse(draw: random.Random, generator: Messages, channel: Channel, received: Lines, expected: Expected) -> None:
    """Write some lines, and check that each request among them is answered."""
    batch = [*(generator.next() for _ in range(draw.randint(1, 20))), probe(generator)]
    if draw.random() < 0.1:
        again = generator.request()
        batch += [again, again]
    if draw.random() < 0.2:
        batch.append(initialize(generator))
    draw.shuffle(batch)
    for message in batch:
        expected.add(message)
    for piece in wire.cut(draw, [message.data + b"\n" for message in batch]):
        channel.write(piece)
    expected.await_all(channel, received)
    assert not channel.ended, "the daemon has closed its output"


def initialize(generator: Messages) -> Message:
    written, id = generator.id()
    return Message(b'{"id":' + written + b"," + INITIALIZE + b"}", id, 1)


def probe(generator: Messages) -> Message:
    """Send a request, and wait for its answer, which may be an error."""
    written, id = generator.id()
    return Message(b'{"id":' + written + b',"method":"thread/loaded/list","params":{}}', id, 1)


def connect(draw: random.Random, generator: Messages, daemon: Daemon) -> int:
    """Play one connection to a socket; returns the number of bytes sent."""
    received = Frames()
    with daemon.connect() as connection:
        fd = connection.fileno()
        channel = Channel(fd, fd, received.feed)
        if draw.random() < 0.25:
            _head(draw, connection, channel, received)
        else:
            _frames(draw, generator, connection, channel, received)
        return channel.sent


def _finish(connection: socket.socket, channel: Channel) -> None:
    """End our side, and wait until the peer closes."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
    channel.until(lambda: False)


def _head(draw: random.Random, connection: socket.socket, channel: Channel, received: Frames) -> None:
    for piece in wire.cut(draw, [wire.head(draw)]):
        channel.write(piece)
    if draw.random() < 0.2:
        return  # disconnect without waiting for the answer
    _finish(connection, channel)
    assert received.status in (None, 101, 200, 400, 403, 405, 431, 501, 505), received.status


def _frames(
    draw: random.Random, generator: Messages, connection: socket.socket, channel: Channel, received: Frames
) -> None:
    expected, parts = Expected(generator), [b"\r\n".join((*wire.HEAD, b"", b""))]
    batch = [generator.next() for _ in range(draw.choice((0, 1, 5, 30)))]
    batch = [message for message in batch if _is_utf8(message.data)]
    if draw.random() < 0.7:
        batch.insert(0, initialize(generator))
    batch.append(probe(generator))
    for message in batch:
        expected.add(message)
        parts += wire.fragments(draw, message.data)
        if draw.random() < 0.1:
            parts += wire.fragments(draw, draw.randbytes(50), wire.BINARY)
    ending = draw.choice(("close", "violate", "violate", "violate early", "hang up", "half-close", "unfinished"))
    if ending == "violate early":
        at = draw.randint(1, len(parts))
        # a frame of an unknown kind is wrong everywhere, also inside a message
        parts[at:] = [wire.frame(draw, 3, b""), wire.garbage(draw)]
    for piece in wire.cut(draw, parts):
        channel.write(piece)
    if ending == "hang up":
        return
    if ending != "violate early":
        expected.await_all(channel, received)
        assert received.status == 101
        assert not channel.ended
    match ending:
        case "violate":
            channel.write(wire.violation(draw) + wire.garbage(draw))
        case "close":
            channel.write(wire.goodbye(draw))
        case "unfinished":
            channel.write(wire.unfinished(draw))
        case _:
            pass
    if ending in ("half-close", "unfinished"):
        _finish(connection, channel)
        return
    channel.until(lambda: received.code is not None)
    assert received.code is not None, f"closed without a reason after: {ending}"
    if "violate" in ending:
        assert received.code in (1002, 1007), received.code
        expected.settled(received.messages)
    _finish(connection, channel)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# -- what must hold


def faults(daemon: Daemon, since: int = 0) -> list[str]:
    """The forbidden lines of a daemon's log, from a line number on."""
    return [line for line in daemon.log.entries[since:] if _FORBIDDEN.match(line)]


def resident(daemon: Daemon) -> int:
    """The memory of the process, in bytes."""
    with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
