"""WebSockets (RFC 6455) over any trio stream: wsproto implements the protocol, this module the I/O.

A message is one text frame or several continuation frames. Binary messages are ignored. No extension is negotiated, so
nothing is compressed.
"""

from collections import deque
from collections.abc import AsyncIterable, Iterable, Sequence
from struct import pack
from typing import Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from .eager_lock import EagerLock
from .interface import MAX_MESSAGE_BYTES, Received, TransportKind

_READ_BYTES: Final = 64 * 1024
_CLOSE_SECONDS: Final = 2.0  # seconds for the peer's half of the close handshake
_HANDSHAKE_SECONDS: Final = 10.0
_REFUSAL_BYTES: Final = 64 * 1024  # the part of a refusal's body that is kept
_AT_ONCE: Final = 64  # frames that are read between two checkpoints

PING_AFTER: Final = 30.0
"""Seconds without data from the peer after which it is pinged."""
PONG_WITHIN: Final = 30.0
"""Seconds for the pong, or for anything else that shows that the peer is there."""
_STUCK: Final = 0.1  # a longer write means that the peer has read meanwhile


class UpgradeRefused(Exception):
    """The server did not open a WebSocket; `status` is that of its answer, 0 if the answer was not HTTP."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"the server refused the WebSocket with status {status}: {body.decode(errors='replace')}")
        self.status = status
        self.body = body


class WebSocketTransport:
    """An open WebSocket, on the side of the server (`accept`) or the client (`connect`).

    Pings are answered while a `receive` is pending. During a `send` the pong follows the message, so a peer that does
    not read cannot stop us from reading. `lost` detects a peer that disappeared.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        websocket: WSConnection,
        *,
        kind: TransportKind = "websocket",
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._stream = stream
        self._websocket = websocket
        self._kind: TransportKind = kind
        self._max = max_message_bytes
        self._inbox: deque[Received] = deque()
        self._pieces = bytearray()  # the incomplete message
        self._ping = b""
        self._pong = b""  # only the latest ping needs a pong
        self._goodbye = b""
        self._noticed = trio.current_time()  # the last time the peer showed that it is there
        self._more = False  # frames arrived that are not read yet
        self._at_end = False  # no more messages: the end, or a violation of the protocol
        self._failed = False  # ended by the peer's close frame or violation
        self._broken = False
        self._closing = False
        self._closed = False
        self._reading = trio.Lock()
        self._writing = EagerLock()
        self._digest()  # the bytes right after the handshake

    @property
    def kind(self) -> TransportKind:
        return self._kind

    # -- in ----------------------------------------------------------------------------------------

    async def receive(self) -> Received | None:
        """The next text message, or None after the peer closed or violated the protocol. Errors as in `Transport`."""
        async with self._reading:
            while not self._inbox:
                if self._closed:
                    raise trio.ClosedResourceError("this WebSocket was closed")
                if self._pong or self._goodbye:
                    await self._reply()
                if self._at_end:
                    return None
                await self._read()
            return self._inbox.popleft()

    async def _read(self) -> None:
        if self._more:
            await trio.lowlevel.checkpoint()
        elif data := await self._stream.receive_some(_READ_BYTES):
            self._noticed = trio.current_time()
            self._websocket.receive_data(bytes(data))
        else:
            self._at_end = True
            return
        self._digest()
        if self._pong or self._goodbye:
            await self._reply()

    def _digest(self) -> None:
        """Process the frames in the bytes so far, some at a time: wsproto takes longer per frame than the peer.

        Does not wait; `_reply` sends the answers.
        """
        self._more = False
        for count, event in enumerate(self._websocket.events(), 1):
            self._more = count == _AT_ONCE
            match event:
                case TextMessage():
                    self._take(event)
                case BytesMessage():
                    pass
                case Ping() if self._websocket.state is ConnectionState.OPEN:
                    self._pong = self._websocket.send(event.response())
                case CloseConnection():
                    if self._websocket.state is ConnectionState.OPEN:  # not a close frame, but wsproto's report of a violation
                        self._fail(event.code, event.reason or "")
                    elif self._websocket.state is ConnectionState.REMOTE_CLOSING:
                        self._goodbye = self._websocket.send(event.response())
                    self._at_end = True
                case _:
                    pass
            if self._at_end or self._more:
                return

    def _take(self, event: TextMessage) -> None:
        if self._closing:
            return
        piece = event.data.encode()
        if len(self._pieces) + len(piece) > self._max:
            self._fail(CloseReason.MESSAGE_TOO_BIG, f"a message may have {self._max} bytes")
            return
        if event.message_finished and not self._pieces:
            self._inbox.append(piece)
            return
        self._pieces += piece
        if event.message_finished:
            self._inbox.append(self._pieces)
            self._pieces = bytearray()

    def _fail(self, code: int, reason: str) -> None:
        self._pieces.clear()
        self._at_end = self._failed = True
        self._goodbye = self._websocket.send(CloseConnection(code, reason))

    async def _reply(self) -> None:
        """Send the pending ping, pong and close frames, unless a running `send` will do it."""
        try:
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            # A few bytes; shielded, so that a deadline around `receive` cannot cut a frame in two.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
                await self._write(b"")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # `receive` will find out after it read what is left
        finally:
            self._writing.release()

    # -- out ---------------------------------------------------------------------------------------

    async def send(self, messages: Sequence[bytes]) -> None:
        """Write each message as one text frame, all in one write; they must be UTF-8. Errors as in `Transport`."""
        async with self._writing:
            if self._closing:
                raise trio.ClosedResourceError("this WebSocket was closed")
            if self._broken or self._websocket.state is not ConnectionState.OPEN:
                raise trio.BrokenResourceError("the peer is gone")
            if not messages:
                return
            await trio.lowlevel.checkpoint_if_cancelled()  # from here on, cancelling may cut a frame in two
            await self._write(self._frames(messages))

    async def send_pieces(self, pieces: AsyncIterable[bytes]) -> None:
        """Write one message as a text frame and continuation frames, one per piece. Errors as in `Transport`."""
        async with self._writing:
            if self._closing:
                raise trio.ClosedResourceError("this WebSocket was closed")
            if self._broken or self._websocket.state is not ConnectionState.OPEN:
                raise trio.BrokenResourceError("the peer is gone")
            whole, first, held = False, True, b""
            try:
                async for piece in pieces:
                    if held:
                        await self._write(self._fragment(held, first, last=False))
                        first = False
                    held = piece
                    if self._closing:
                        raise trio.ClosedResourceError("this WebSocket was closed")
                await self._write(self._fragment(held, first, last=True))
                whole = True
            finally:
                if not whole:  # a message that is cut off cannot be undone
                    self._broken = True

    def _fragment(self, piece: bytes, first: bool, last: bool) -> bytes:
        if self._websocket.client:
            return self._websocket.send(TextMessage(piece.decode(), message_finished=last))
        return _header(len(piece), opcode=1 if first else 0, final=last) + piece

    def _frames(self, messages: Sequence[bytes]) -> bytes:
        if self._websocket.client:  # wsproto masks
            return b"".join(self._websocket.send(TextMessage(message.decode())) for message in messages)
        # A server's frame is a header and the plain message. wsproto takes a str and encodes it again, which is most of
        # the cost of a small message.
        parts: list[bytes] = []
        for message in messages:
            parts.append(_header(len(message)))
            parts.append(message)
        return b"".join(parts)

    async def _write(self, data: bytes) -> None:
        """Write, then send the pending answers. The caller holds the lock."""
        if self._broken:
            raise trio.BrokenResourceError("an earlier write did not complete")
        self._broken = True
        while data or self._ping or self._pong or self._goodbye:
            data += self._ping + self._pong + self._goodbye
            self._ping = self._pong = self._goodbye = b""
            began = trio.current_time()
            await self._stream.send_all(data)
            if trio.current_time() - began > _STUCK:
                self._noticed = trio.current_time()
            data = b""
        self._broken = False

    # -- whether the peer is there -----------------------------------------------------------------

    async def lost(self) -> None:
        """Return when the peer is lost: silent for `PING_AFTER` seconds, then pinged, then silent for `PONG_WITHIN` more.

        Received data and completed blocked writes count as signs of the peer. A `receive` must be pending, or a `send`
        blocked.
        """
        while True:
            await trio.sleep_until(self._noticed + PING_AFTER)
            if trio.current_time() < self._noticed + PING_AFTER:
                continue
            noticed = self._noticed
            if self._websocket.state is ConnectionState.OPEN:
                self._ping = self._websocket.send(Ping())
                await self._reply()
            await trio.sleep(PONG_WITHIN)
            if self._noticed == noticed:
                return

    # -- the end -----------------------------------------------------------------------------------

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame, wait up to two seconds for the peer's, close the stream.

        Other data that arrives meanwhile is discarded; a blocked `send` ends with ClosedResourceError. A reason too
        long for a close frame (123 bytes) is cut.
        """
        if self._closing:
            await trio.lowlevel.checkpoint()
            return
        self._closing = True
        self._inbox.clear()
        try:
            with trio.move_on_after(_CLOSE_SECONDS):
                async with self._writing:
                    if self._websocket.state is ConnectionState.OPEN:
                        self._goodbye = self._websocket.send(CloseConnection(code, reason))
                    if not self._broken:
                        await self._write(b"")
                if not self._broken:
                    await self._await_peer()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._closed = True
            await self._stream.aclose()

    async def _await_peer(self) -> None:
        async with self._reading:  # a pending receive goes on reading until the end
            while not self._at_end:
                await self._read()
            if self._failed and isinstance(self._stream, trio.abc.HalfCloseableStream):
                # Closing with unread bytes resets a TCP connection, and the peer would not receive the reason.
                await self._stream.send_eof()
                while await self._stream.receive_some(_READ_BYTES):
                    pass


def _header(length: int, opcode: int = 1, final: bool = True) -> bytes:
    """The start of an unmasked frame: of a text (1) or of its continuation (0) (RFC 6455, section 5.2)."""
    first = opcode | (0x80 if final else 0)
    if length < 126:
        return pack("!BB", first, length)
    if length < 65536:
        return pack("!BBH", first, 126, length)
    return pack("!BBQ", first, 127, length)


async def accept(
    stream: trio.abc.Stream,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    trailing: bytes = b"",
    *,
    kind: TransportKind = "websocket",
) -> WebSocketTransport:
    """Answer a request head that asks for a WebSocket; `trailing` are the bytes read after the head.

    Raises wsproto.utilities.RemoteProtocolError, before anything is sent, if the head is not a valid request.
    """
    websocket = WSConnection(ConnectionType.SERVER)
    websocket.initiate_upgrade_connection(list(headers), target.decode("ascii", "replace"))
    answer = websocket.send(AcceptConnection())
    await stream.send_all(answer)
    if trailing:
        websocket.receive_data(trailing)
    return WebSocketTransport(stream, websocket, kind=kind)


async def connect(
    stream: trio.abc.Stream,
    host: str,
    path: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    *,
    kind: TransportKind = "websocket",
) -> WebSocketTransport:
    """Open a WebSocket as a client over a connected stream. `host` is the Host header, with its port if any.

    Raises UpgradeRefused, trio.TooSlowError after ten seconds, and the errors of the stream. The caller owns the stream
    until this returns.
    """
    websocket = WSConnection(ConnectionType.CLIENT)
    extra = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    status, body = 0, b""
    with trio.fail_after(_HANDSHAKE_SECONDS):
        await stream.send_all(websocket.send(Request(host=host, target=path, extra_headers=extra)))
        while True:
            data = await stream.receive_some(_READ_BYTES)
            if not data:
                raise UpgradeRefused(status, body)
            try:
                websocket.receive_data(bytes(data))
                for event in websocket.events():
                    match event:
                        case AcceptConnection():
                            return WebSocketTransport(stream, websocket, kind=kind)
                        case RejectConnection():
                            status = event.status_code
                            if not event.has_body:
                                raise UpgradeRefused(status, body)
                        case RejectData():
                            body = (body + event.data)[:_REFUSAL_BYTES]
                            if event.body_finished:
                                raise UpgradeRefused(status, body)
                        case _:
                            pass
            except RemoteProtocolError as error:
                raise UpgradeRefused(status, body or str(error).encode()) from error
