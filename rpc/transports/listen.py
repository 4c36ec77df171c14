"""Listen for clients: read addresses (`parse_listen`), open sockets (`open_listeners`), serve WebSockets
(`serve_websocket`).
"""

import ipaddress
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import h11
import trio
from wsproto.utilities import RemoteProtocolError

from spindle.rpc.lazy_class import frozen

from .accepting import HANDSHAKES, Refusal, accept_clients
from .admission import Admission
from .http import HttpAnswer, Upgrade, decide
from .interface import Transport, TransportKind
from .peers import Refuse
from .unix_socket import bind_unix, unlink_unix
from .websocket import WebSocketTransport, accept

_log = logging.getLogger(__name__)

_HANDSHAKE_SECONDS: Final = 10.0
_HEAD_BYTES: Final = 16 * 1024
_LINGER_SECONDS: Final = 1.0
_GOING_AWAY_SECONDS: Final = 1.0
_READ_BYTES: Final = 16 * 1024
_BACKLOG: Final = 1024
_REFUSED: Final = (401, 403, 503)


@frozen
class ListenTarget:
    """An address to listen on. `host` and `port` are for websocket (port 0: any free port), `path` is for unix.

    Without a path, unix is the control socket of the home (`Home.control_socket`).
    """

    kind: Literal["stdio", "websocket", "unix", "off"]
    host: str = ""
    port: int = 0
    path: Path | None = None

    @property
    def open_to_others(self) -> bool:
        """Whether other machines can connect."""
        return self.kind == "websocket" and not ipaddress.ip_address(self.host).is_loopback


def parse_listen(url: str) -> ListenTarget:
    """Read a --listen value: `stdio://`, `unix://`, `unix://PATH`, `ws://IP:PORT` or `off`.

    Raises ValueError with a text for the user.
    """
    if url == "stdio://":
        return ListenTarget("stdio")
    if url == "off":
        return ListenTarget("off")
    if url.startswith("unix://"):
        path = url.removeprefix("unix://")
        if "\0" in path:
            raise ValueError(f"--listen `{url}` names no socket file; write `unix://PATH`")
        return ListenTarget("unix", path=Path(path) if path else None)
    if url.startswith("ws://"):
        return _parse_address(url)
    raise ValueError(f"--listen `{url}` is not valid; write `stdio://`, `unix://`, `unix://PATH`, `ws://IP:PORT` or `off`")


def _parse_address(url: str) -> ListenTarget:
    host, colon, port = url.removeprefix("ws://").rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
        if bracketed is not (address.version == 6) or not colon or not (port.isascii() and port.isdigit()):
            raise ValueError
    except ValueError:
        raise ValueError(f"--listen `{url}` is not an address; write `ws://IP:PORT`, not a host name or a path") from None
    if int(port) > 65535:
        raise ValueError(f"--listen `{url}`: port {port} is beyond 65535")
    return ListenTarget("websocket", host=str(address), port=int(port))


@asynccontextmanager
async def open_listeners(target: ListenTarget) -> AsyncGenerator[Sequence[trio.SocketListener], None]:
    """Listen on a websocket or unix target inside the block. The socket file is removed when the block ends.

    Raises OSError (EADDRINUSE if another server listens there), ValueError for a target without a socket.
    """
    if target.kind == "websocket":
        listeners = await trio.open_tcp_listeners(target.port, host=target.host, backlog=_BACKLOG)
        try:
            yield listeners
        finally:
            await _close(listeners)
    elif target.kind == "unix" and target.path is not None:
        bound = await trio.to_thread.run_sync(bind_unix, target.path, _BACKLOG)
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(bound.socket))]
        try:
            yield listeners
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(unlink_unix, bound)
            await _close(listeners)
    else:
        raise ValueError(f"a {target.kind} target has no socket to listen on")


async def _close(listeners: Sequence[trio.SocketListener]) -> None:
    with trio.CancelScope(shield=True):
        for listener in listeners:
            await listener.aclose()


async def serve_websocket(
    listeners: Sequence[trio.SocketListener],
    handler: Callable[[Transport], Awaitable[None]],
    *,
    admission: Admission | None = None,
    refuse: Refuse | None = None,
    connections: int | None = None,
    handshakes: int = HANDSHAKES,
    task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled; `handler` runs once for each WebSocket, which is closed when it returns.

    On TCP, `admission` says who may open a WebSocket; without it, requests for a host beyond this machine are refused. Takes
    the bounds, `refuse` and the value of `task_status.started` of `accept_clients`. An exception from a handler is
    logged and ends only its connection (close code 1011). If this function is cancelled, it closes open WebSockets with
    code 1001 and then the listeners. A peer that does not answer pings is closed. A peer that `refuse` names a reason for is
    refused with status 403, one for which there is no room with status 503.
    """

    async def opened(stream: trio.SocketStream, refusal: Refusal | None) -> WebSocketTransport | None:
        answer = None if refusal is None else HttpAnswer(503 if refusal.busy else 403, f"{refusal.reason}\n".encode())
        return await handshake(stream, _kind(stream), refusal=answer, admission=admission)

    async def serve(transport: WebSocketTransport) -> None:
        await _run_handler(transport, handler)

    await accept_clients(
        listeners,
        opened,
        serve,
        refuse=refuse,
        connections=connections,
        handshakes=handshakes,
        task_status=task_status,
    )


async def _run_handler(transport: WebSocketTransport, handler: Callable[[Transport], Awaitable[None]]) -> None:
    code = 1001
    try:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_when_lost, transport)
                await handler(transport)
                nursery.cancel_scope.cancel()
            code = 1000
        except* (trio.BrokenResourceError, trio.ClosedResourceError) as gone:
            _log.debug("a client went away: %r", gone.exceptions[0])
            code = 1000
        except* Exception as crash:
            _log.error("a connection failed", exc_info=crash)
            code = 1011
    finally:
        # Also when cancelled: send the close frame, but do not wait long for the client.
        going_away = trio.CancelScope(shield=code == 1001)
        if code == 1001:
            going_away.deadline = trio.current_time() + _GOING_AWAY_SECONDS
        with going_away:
            await transport.aclose(code)


async def _close_when_lost(transport: WebSocketTransport) -> None:
    await transport.lost()
    _log.warning("closing a connection: the client does not answer")
    await transport.aclose(1001, "no answer to a ping")


async def handshake(
    stream: trio.abc.HalfCloseableStream,
    kind: TransportKind,
    *,
    refusal: HttpAnswer | None = None,
    admission: Admission | None = None,
) -> WebSocketTransport | None:
    """Read one request head and answer it; returns a transport if the answer opened a WebSocket.

    With a `refusal`, a request for a WebSocket gets that answer. `admission` is for TCP: the file's mode says who may connect
    to a Unix socket. Returns None in all other cases, also after ten seconds; the caller then closes the stream. Raises the
    errors of the stream.
    """
    with trio.move_on_after(_HANDSHAKE_SECONDS):
        return await _handshake(stream, kind, refusal, admission)
    return None


async def _handshake(
    stream: trio.abc.HalfCloseableStream, kind: TransportKind, refusal: HttpAnswer | None, admission: Admission | None
) -> WebSocketTransport | None:
    """`handshake` without its deadline."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
    try:
        request = await _read_head(stream, connection)
    except h11.RemoteProtocolError as error:
        await _answer(stream, connection, HttpAnswer(error.error_status_hint))
        return None
    if request is None:
        return None
    tcp = kind == "websocket"
    decision = decide(
        request.method,
        request.target,
        request.headers,
        request.http_version,
        admission=admission if tcp else None,
        only_local=tcp,
    )
    if isinstance(decision, Upgrade) and refusal is not None:
        decision = refusal
    if isinstance(decision, HttpAnswer) and decision.status in _REFUSED:
        _log.warning("refused a connection: %s", decision.body.decode().rstrip() or "it has an Origin")
    if isinstance(decision, Upgrade):
        try:
            trailing, _ = connection.trailing_data
            return await accept(stream, request.target, request.headers, trailing, kind=kind)
        except RemoteProtocolError as error:
            decision = HttpAnswer(400, f"{error}\n".encode())
    await _answer(stream, connection, decision)
    return None


async def _read_head(stream: trio.abc.ReceiveStream, connection: h11.Connection) -> h11.Request | None:
    """The request head, or None if it does not arrive."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))


async def _answer(stream: trio.abc.HalfCloseableStream, connection: h11.Connection, answer: HttpAnswer) -> None:
    headers = [(b"content-length", b"%d" % len(answer.body)), (b"connection", b"close"), *answer.headers]
    if answer.body:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    data = connection.send(h11.Response(status_code=answer.status, headers=headers)) or b""
    data += connection.send(h11.Data(data=answer.body)) or b""
    data += connection.send(h11.EndOfMessage()) or b""
    with trio.move_on_after(_LINGER_SECONDS):
        await stream.send_all(data)
        # Closing with unread bytes resets the connection, and the client might not receive the answer.
        await stream.send_eof()
        while await stream.receive_some(_READ_BYTES):
            pass


def _kind(stream: trio.SocketStream) -> TransportKind:
    return "unix" if stream.socket.family == socket.AF_UNIX else "websocket"
