"""One message per line, over any pair of trio streams: the framing of stdio and of relays."""

import logging
import os
from collections import deque
from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from typing import Final

import trio

from .eager_lock import EagerLock
from .interface import MAX_MESSAGE_BYTES, Received, TransportKind

_log = logging.getLogger(__name__)

_READ_BYTES: Final = 64 * 1024  # the capacity of a Linux pipe
_BURST: Final = 16  # lines of one read that are given at most before other tasks run


class LineTooLong(Exception):
    """A line is longer than the bound, complete or not; `str()` names the bound."""


class LineTransport:
    """Messages that end in a newline (`\\n` alone: other line breaks are legal inside JSON strings).

    A line longer than `max_message_bytes` is skipped and logged; without `skip_longer`, `receive` raises LineTooLong
    and the transport ends. Data after the last newline at the end of the input is a message, too.

    `received` was already read from the input. `sent` was already written: it is left out of what is sent first.
    """

    def __init__(
        self,
        receive_stream: trio.abc.ReceiveStream,
        send_stream: trio.abc.SendStream,
        *,
        kind: TransportKind = "stdio",
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        skip_longer: bool = True,
        received: bytes = b"",
        sent: bytes = b"",
    ) -> None:
        self._kind: TransportKind = kind
        self._receive_stream = receive_stream
        self._send_stream = send_stream
        self._max = max_message_bytes
        self._skip_longer = skip_longer
        self._lines: deque[Received] = deque()
        self._given = 0
        self._pieces = bytearray()  # the incomplete line, unless it is too long
        self._pieces_bytes = 0
        self._at_end = False
        self._closed = False
        self._broken = False
        self._sending = EagerLock()
        self._sent = sent
        self._take(received)

    @property
    def kind(self) -> TransportKind:
        return self._kind

    async def receive(self) -> Received | None:
        """The next line without its newline, or None at the end of the input. Errors as in `Transport`."""
        if self._lines:
            self._given += 1
            await (trio.lowlevel.checkpoint_if_cancelled if self._given % _BURST else trio.lowlevel.checkpoint)()
        while not self._lines:
            if self._closed:
                raise trio.ClosedResourceError("this transport was closed")
            if self._pieces_bytes > self._max and not self._skip_longer:
                raise LineTooLong(f"a line of more than {self._max} bytes")
            if self._at_end:
                await trio.lowlevel.checkpoint()
                return None
            chunk = await self._receive_stream.receive_some(_READ_BYTES)
            if chunk:
                self._take(bytes(chunk))
            else:
                self._at_end = True
                self._end_line(b"")
        return self._lines.popleft()

    def _take(self, chunk: bytes) -> None:
        first, *others = chunk.split(b"\n")
        if not others:
            self._keep(first)
            return
        self._end_line(first)
        last = others.pop()
        for line in others:
            self._end_line(line)
        self._keep(last)

    def _keep(self, piece: bytes) -> None:
        self._pieces_bytes += len(piece)
        if self._pieces_bytes <= self._max:
            self._pieces += piece
        else:
            self._pieces.clear()

    def _end_line(self, piece: bytes) -> None:
        if not self._pieces_bytes and len(piece) <= self._max:
            if piece:  # a blank line is not a message
                self._lines.append(piece)
            return
        self._keep(piece)
        if self._pieces_bytes > self._max:
            if not self._skip_longer:
                return  # `receive` raises after it gave the lines before
            _log.warning("skipped a message of %d bytes: the limit is %d", self._pieces_bytes, self._max)
        else:
            self._lines.append(self._pieces)
        self._pieces = bytearray()
        self._pieces_bytes = 0

    async def send(self, messages: Sequence[bytes]) -> None:
        """Write the messages, each with a newline, in one write. Errors as in `Transport`."""
        async with self._sending:
            if self._closed:
                raise trio.ClosedResourceError("this transport was closed")
            if self._broken:
                raise trio.BrokenResourceError("an earlier write did not complete")
            if not messages:
                return
            await trio.lowlevel.checkpoint_if_cancelled()  # from here on, cancelling may cut a message in two
            self._broken = True
            data = b"\n".join((*messages, b""))
            await self._send_stream.send_all(self._unsent(data) if self._sent else data)
            self._broken = False

    def _unsent(self, data: bytes) -> bytes:
        sent, self._sent = self._sent, b""
        if not data.startswith(sent):
            raise RuntimeError(f"instead of what was already written, {sent!r}, this was to be sent: {data!r}")
        return data[len(sent) :]

    async def send_pieces(self, pieces: AsyncIterable[bytes]) -> None:
        """Write one message from pieces, then a newline. Errors as in `Transport`."""
        async with self._sending:
            if self._closed:
                raise trio.ClosedResourceError("this transport was closed")
            if self._broken:
                raise trio.BrokenResourceError("an earlier write did not complete")
            self._broken = True
            async for piece in pieces:
                await self._send_stream.send_all(piece)
            await self._send_stream.send_all(b"\n")
            self._broken = False

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close both streams. Lines have no close handshake, so `code` and `reason` are not used."""
        self._closed = True
        # Standard input and output can be one open file (a terminal). The second stream already found it non-blocking,
        # so its setting has to be restored first.
        try:
            await self._send_stream.aclose()
        finally:
            await self._receive_stream.aclose()


class EagerFdStream(trio.abc.SendStream):
    """A descriptor to write to. `trio.lowlevel.FdStream` lets all other tasks run before each write; this waits only if it
    has to.
    """

    def __init__(self, fd: int) -> None:
        self._stream = trio.lowlevel.FdStream(fd)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As in trio."""
        written = 0
        with suppress(OSError):  # the descriptor is full, or the stream below raises the error again
            written = os.write(self._stream.fileno(), data)
        if written < len(data):
            await self._stream.send_all(memoryview(data)[written:])

    async def wait_send_all_might_not_block(self) -> None:
        """As in trio."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """As in trio."""
        await self._stream.aclose()


def open_stdio(received: bytes = b"", sent: bytes = b"") -> LineTransport:
    """A transport over copies of file descriptors 0 and 1: pipes, files or a terminal.

    Both are non-blocking until `aclose`, which restores the earlier mode. So close it, and meanwhile write nothing
    large to a standard error that is the same open file. `received` and `sent` are as in `LineTransport`. Raises OSError
    if one of the descriptors is closed.
    """
    receive_fd = os.dup(0)
    try:
        send_fd = os.dup(1)
    except OSError:
        os.close(receive_fd)
        raise
    # A regular file never blocks, so trio never waits for it; epoll would refuse regular files.
    receive_stream = trio.lowlevel.FdStream(receive_fd)
    return LineTransport(receive_stream, EagerFdStream(send_fd), received=received, sent=sent)
