"""HTTP/1.1 POSTs with streamed answers, over trio and h11.

Not httpx: its pool looks at every connection for every request, so 64 concurrent answers cost five times the CPU of
this module (measured), and importing it takes longer than a first answer. What a model needs is little: POST, read
as it arrives, keep the connection. Proxies are honoured as the environment names them.
"""

import base64
import ipaddress
import os
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import cast
from urllib.parse import unquote, urlsplit

import h11
import trio
from attrs import frozen

_READ = 65536
_HEAD_LIMIT = 131072
_CONNECT_SECONDS = 30.0
_SETTLE_SECONDS = 0.05
_SETTLE_READS = 4
_KEEP_SECONDS = 90.0

Header = tuple[str, str]


class HttpFailure(Exception):
    """No answer, or an answer cut off: the peer was not reached, went away, or does not speak HTTP/1.1."""


class Unreachable(HttpFailure):
    """No connection could be made."""


class Idle(HttpFailure):
    """The peer was silent for longer than allowed."""


@frozen
class Target:
    """Where a URL leads: what to connect to and what to ask for. `proxy` is the URL of a proxy in between."""

    secure: bool
    host: str
    port: int
    path: str
    authority: str
    proxy: str | None

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str]) -> "Target":
        """`environ` may name proxies. Raises `ValueError` for anything but http and https URLs with a host."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http or https URL: {url}")
        secure = parts.scheme == "https"
        host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() else parts.hostname
        named = f"[{host}]" if ":" in host else host
        port = parts.port or (443 if secure else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = named if parts.port is None else f"{named}:{port}"
        return cls(secure, host, port, path, authority, _proxy(parts.scheme, host, environ))


@frozen
class Dialled:
    """One open connection."""

    stream: trio.abc.Stream
    socket: trio.SocketStream


class Answer:
    """The head of a response, and its body as it arrives."""

    def __init__(self, connection: h11.Connection, stream: trio.abc.Stream, head: h11.Response, idle: float) -> None:
        self._connection = connection
        self._stream = stream
        self._idle = idle
        self.status = head.status_code
        self.ended = False

    async def chunks(self) -> Sequence[bytes]:
        """What arrived next, all of it; empty at the end of the body. Raises `HttpFailure`."""
        arrived: list[bytes] = []
        connection = self._connection
        while not self.ended:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                if arrived:
                    return arrived
                raise HttpFailure(str(error)) from error
            if event is h11.NEED_DATA:
                if arrived:
                    return arrived
                connection.receive_data(await _read(self._stream, self._idle))
            elif isinstance(event, h11.Data):
                arrived.append(bytes(event.data))
            else:
                self.ended = True
        return arrived

    async def rest(self, limit: int) -> bytes:
        """The body up to `limit` bytes, or what arrives of it before the peer goes away."""
        body = bytearray()
        try:
            while len(body) < limit and (arrived := await self.chunks()):
                body += b"".join(arrived)
        except HttpFailure:
            pass
        return bytes(body[:limit])

    async def settle(self, socket: trio.SocketStream) -> bool:
        """Read the end of a body of which everything that matters was read; whether that left a usable connection.

        The end tends to arrive just after the last event: reading it when the connection is next needed costs no wait.
        """
        with trio.move_on_after(_SETTLE_SECONDS):
            try:
                for _ in range(_SETTLE_READS):
                    # What a TLS stream holds decrypted or half read does not show on its socket.
                    if self.ended or (self._stream is socket and not socket.socket.is_readable()):
                        break
                    await self.chunks()
            except HttpFailure:
                return False
        return self.reusable and not socket.socket.is_readable()

    @property
    def reusable(self) -> bool:
        """Whether the body ended and the connection may carry another request."""
        return self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE


class Connections:
    """Connections to one target, the idle ones kept for the next request. No limit: turns never queue."""

    def __init__(self, target: Target, context: Callable[[], ssl.SSLContext] | None = None) -> None:
        self._target = target
        self._make_context = context or default_context
        self._context: ssl.SSLContext | None = None
        self._idle: deque[_Kept] = deque()  # the least recently used first
        self._closed = False
        self._request_target = target.path
        self._proxy_headers: list[tuple[bytes, bytes]] = []
        if target.proxy and not target.secure:
            self._request_target = f"http://{target.authority}{target.path}"
            self._proxy_headers = _proxy_authorization(target.proxy)

    async def post(self, headers: Sequence[Header], body: bytes, idle: float) -> "Exchange":
        """Send a request and wait for the head of the response.

        `idle` is the longest silence in seconds, while waiting for the head and between reads. `host` and
        `content-length` are added. An idle connection that the peer has closed meanwhile is replaced unnoticed.
        Raises `HttpFailure`.
        """
        await self._prune()
        while self._idle and not self._closed:
            kept = self._idle.pop()
            dialled = kept.dialled
            try:
                usable = await kept.answer.settle(dialled.socket)
            except BaseException:
                await _discard(dialled.stream)
                raise
            if not usable:
                await _discard(dialled.stream)  # closed by the peer, or out of step: either way of no use
                continue
            try:
                return await self._send(dialled, headers, body, idle)
            except _Stale:
                continue
        if self._closed:
            raise Unreachable("the model is closed")
        try:
            return await self._send(await self._dial(), headers, body, idle)
        except _Stale as error:
            raise HttpFailure("connection closed before message completed") from error

    def give_back(self, dialled: Dialled, answer: Answer) -> bool:
        """Keep a connection whose exchange is over; False if it has to be closed instead."""
        if self._closed:
            return False
        self._idle.append(_Kept(dialled, answer, trio.current_time() + _KEEP_SECONDS))
        return True

    async def aclose(self) -> None:
        """Close what is idle and make no more connections."""
        self._closed = True
        while self._idle:
            await _discard(self._idle.pop().dialled.stream)

    async def _prune(self) -> None:
        while self._idle and self._idle[0].until <= trio.current_time():
            await _discard(self._idle.popleft().dialled.stream)

    async def _send(self, dialled: Dialled, headers: Sequence[Header], body: bytes, idle: float) -> "Exchange":
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        try:
            try:
                start = h11.Request(
                    method="POST",
                    target=self._request_target,
                    headers=[
                        (b"host", self._target.authority.encode()),
                        (b"content-length", b"%d" % len(body)),
                        *self._proxy_headers,
                        *((name.encode(), value.encode()) for name, value in headers),
                    ],
                )
                head = connection.send(start) or b""
                connection.send(h11.Data(data=body))
                connection.send(h11.EndOfMessage())
            except (h11.LocalProtocolError, UnicodeError) as error:
                raise HttpFailure(f"not a valid request: {error}") from error
            broken: BaseException | None = None
            try:
                if len(body) < _READ:
                    await dialled.stream.send_all(head + body)
                else:  # a copy of a long conversation costs more than a second write
                    await dialled.stream.send_all(head)
                    await dialled.stream.send_all(body)
            except trio.BrokenResourceError as error:
                broken = error  # a server may refuse early and still have answered
            silent = True
            while True:
                try:
                    event = connection.next_event()
                except h11.RemoteProtocolError as error:
                    if silent:
                        raise _Stale from error
                    raise HttpFailure(str(error)) from error
                if event is h11.NEED_DATA:
                    try:
                        data = await _read(dialled.stream, idle)
                    except HttpFailure as error:
                        if silent and not isinstance(error, Idle):
                            raise _Stale from (broken or error)
                        raise
                    silent = silent and not data
                    connection.receive_data(data)
                elif isinstance(event, h11.Response):
                    return Exchange(self, dialled, Answer(connection, dialled.stream, event, idle))
                elif not isinstance(event, h11.InformationalResponse):
                    raise _Stale
        except BaseException:
            await _discard(dialled.stream)
            raise

    async def _dial(self) -> Dialled:
        target = self._target
        try:
            with trio.fail_after(_CONNECT_SECONDS):
                if target.proxy is None:
                    socket = await trio.open_tcp_stream(target.host, target.port)
                else:
                    socket = await self._dial_proxy(target.proxy)
                if not target.secure:
                    return Dialled(socket, socket)
                try:
                    if self._context is None:
                        # Reading the system's certificates takes tens of milliseconds.
                        self._context = await trio.to_thread.run_sync(self._make_context)
                    secured = trio.SSLStream(socket, self._context, server_hostname=target.host, https_compatible=True)
                    await secured.do_handshake()
                except BaseException:
                    await _discard(socket)
                    raise
                return Dialled(secured, socket)
        except trio.TooSlowError as error:
            raise Unreachable("connect timed out") from error
        except (OSError, ssl.SSLError, trio.BrokenResourceError) as error:
            raise Unreachable(_reason(error)) from error

    async def _dial_proxy(self, proxy: str) -> trio.SocketStream:
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        socket = await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)
        if not self._target.secure:
            return socket
        try:
            there = f"{self._target.host}:{self._target.port}"
            connection = h11.Connection(h11.CLIENT)
            auth = _proxy_authorization(proxy)
            start = h11.Request(method="CONNECT", target=there, headers=[(b"host", there.encode()), *auth])
            await socket.send_all((connection.send(start) or b"") + (connection.send(h11.EndOfMessage()) or b""))
            while True:
                try:
                    event = connection.next_event()
                except h11.RemoteProtocolError as error:
                    raise Unreachable(f"the proxy does not speak HTTP: {error}") from error
                if event is h11.NEED_DATA:
                    connection.receive_data(bytes(await socket.receive_some(_READ)))
                elif isinstance(event, h11.Response):
                    if 200 <= event.status_code < 300:
                        return socket
                    raise Unreachable(f"the proxy refused: {event.status_code}")
                elif not isinstance(event, h11.InformationalResponse):
                    raise Unreachable("the proxy closed the connection")
        except BaseException:
            await _discard(socket)
            raise


@frozen
class Exchange:
    """One request and its answer; `aclose` when done with it, whether or not the body was read."""

    _connections: Connections
    _dialled: Dialled
    answer: Answer

    async def aclose(self, whole: bool = False) -> None:
        """Keep the connection if the body was read to its end, or is `whole` but for that end; else drop it."""
        keep = self.answer.reusable or (whole and not self.answer.ended)
        if not (keep and self._connections.give_back(self._dialled, self.answer)):
            await _discard(self._dialled.stream)


@frozen
class _Kept:
    dialled: Dialled
    answer: Answer
    until: float


class _Stale(Exception):
    """The peer hung up before it answered a byte."""


async def _read(stream: trio.abc.Stream, idle: float) -> bytes:
    try:
        with trio.move_on_after(idle):
            return bytes(await stream.receive_some(_READ))
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise HttpFailure(_reason(error)) from error
    raise Idle("idle timeout waiting for SSE")


def _reason(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):  # one failure per address that was tried
        return "; ".join(map(str, cast("BaseExceptionGroup[BaseException]", cause).exceptions))
    return str(cause or error) or type(error).__name__


async def _discard(stream: trio.abc.Stream) -> None:
    # Forceful: a TLS peer that does not read must not hold up a cancelled turn.
    await trio.aclose_forcefully(stream)


def _proxy(scheme: str, host: str, environ: Mapping[str, str]) -> str | None:
    names = [f"{scheme}_proxy", "all_proxy"]
    if scheme == "https":  # upper-case HTTP_PROXY can be set by a client of a CGI program
        names += ["HTTPS_PROXY", "ALL_PROXY"]
    proxy = next((environ[name] for name in names if environ.get(name)), None)
    if proxy is None:
        return None
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if parts.scheme not in ("http", ""):
        return None
    if not parts.hostname or parts.port == 0:  # reading the port raises ValueError where it is no number
        raise ValueError(f"not a proxy: {proxy}")
    if host == "localhost" or _is_loopback(host):
        return None
    for entry in (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(","):
        suffix = entry.strip().lstrip("*").lstrip(".").lower()
        if entry.strip() == "*" or (suffix and (host == suffix or host.endswith(f".{suffix}"))):
            return None
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _proxy_authorization(proxy: str) -> list[tuple[bytes, bytes]]:
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if parts.username is None:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return [(b"proxy-authorization", b"Basic " + base64.b64encode(pair.encode()))]


def default_context() -> ssl.SSLContext:
    """TLS as the system trusts it; `SSL_CERT_FILE` and `SSL_CERT_DIR` apply. Blocking: reads certificates."""
    context = ssl.create_default_context()
    if not os.environ.get("SSL_CERT_FILE") and not context.cert_store_stats()["x509_ca"]:
        try:
            import certifi
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context
