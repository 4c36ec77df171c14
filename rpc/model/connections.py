"""HTTP connections to one provider, which are kept alive.

They are httpcore's, the connections that httpx itself sends with. httpx parses the URL and the proxy and prepares TLS. Its
client does more for each request (cookies, redirects, authentication, merged settings), and its objects and httpcore's
pool take as long as sending the request: the pool looks at all its connections for each of them. So a connection has one
request at a time here, and waits in a stack for the next.

Both are imported at the first request: the import takes longer than the rest of a daemon's start.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import trio
from attrs import frozen

from spindle.rpc.protocol.values import one_line
from spindle.rpc.urls import shown, url_fault

if TYPE_CHECKING:
    import ssl

    import httpcore
    import httpx

Header: TypeAlias = tuple[str, str]

BODY_BYTES: Final = 512 << 20
"""The most bytes of an answer, the bytes between events included."""
_KEPT_SECONDS = 90.0
_CONNECT_SECONDS = 30.0
_LAST_BYTES_SECONDS = 0.02
_CLOSE_SECONDS = 1.0
_PIECES_IN_A_ROW = 64
"""Pieces of a body that are read between two checkpoints: small pieces that have already arrived need no waiting."""
_PROXIES = ("http", "https", "socks5", "socks5h")
_DIRECT = frozenset(("localhost", "127.0.0.1", "::1"))


class HttpFailure(Exception):
    """The exchange failed below HTTP: no connection, a lost connection, or bytes that are not HTTP."""


class Unusable(HttpFailure):
    """No connection, and the next attempt would not get one either: a certificate is not trusted, a proxy refuses."""


class Idle(HttpFailure):
    """No bytes arrived within the idle timeout."""


class UnreadableAnswer(HttpFailure):
    """The body has an encoding that was not requested, or exceeds the bound."""


class Exchange:
    """A response; `status` is known, the body is read piece by piece.

    A compressed body was not requested and is not read: its size has no bound.
    """

    def __init__(self, response: httpcore.Response, done: Callable[[], Awaitable[None]]) -> None:
        self._response = response
        self._done = done
        self._chunks = cast("AsyncIterable[bytes]", response.stream).__aiter__()
        self._pieces = self._bytes = 0
        self._ended = False

    @property
    def status(self) -> int:
        """The status code."""
        return self._response.status

    def header(self, name: str) -> str | None:
        """The value of a header."""
        values = [value for each, value in self._response.headers if each.lower() == name.encode()]
        return b", ".join(values).decode("latin-1") if values else None

    async def chunk(self) -> bytes:
        """The next bytes, b"" at the end of the body. Raises HttpFailure."""
        import httpcore

        if not self._pieces and (encoding := self.header("content-encoding") or "identity") != "identity":
            raise UnreadableAnswer(
                f"the answer has the content-encoding {one_line(encoding, 100)}, which was not asked for"
            )
        self._pieces += 1
        if self._pieces % _PIECES_IN_A_ROW == 0:
            await trio.lowlevel.checkpoint()
        try:
            piece = await anext(self._chunks, b"")
        except httpcore.TimeoutException as error:
            raise Idle("idle timeout waiting for SSE") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise HttpFailure(one_line(str(error), 500) or type(error).__name__) from error
        self._ended = not piece
        self._bytes += len(piece)
        if self._bytes > BODY_BYTES:
            raise UnreadableAnswer(f"the answer is longer than {BODY_BYTES} bytes")
        return piece

    async def rest(self, limit: int) -> bytes:
        """The first `limit` bytes of the body. If the connection breaks, what arrived before."""
        parts: list[bytes] = []
        size = 0
        try:
            while size < limit and (part := await self.chunk()):
                parts.append(part)
                size += len(part)
        except HttpFailure:
            pass
        return b"".join(parts)[:limit]

    async def aclose(self, whole: bool = False) -> None:
        """End the exchange. The connection is reused if the body was read; `whole` means that only its end mark is unread."""
        if whole:
            with trio.move_on_after(_LAST_BYTES_SECONDS):
                await self.rest(1 << 16)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
            try:
                await self._response.aclose()
                if not self._ended:
                    # httpcore's body is nested generators; on a closed connection, one more step ends all of them.
                    # Otherwise the garbage collector would have to close them.
                    await self.rest(1 << 16)
            finally:
                await self._done()


class Connections:
    """Connections to one URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._origin: _Origin | None = None
        self._idle: deque[tuple[httpcore.AsyncConnectionInterface, float]] = deque()
        """The connections that wait for a request, and since when; the last one is used next."""
        self._busy: set[httpcore.AsyncConnectionInterface] = set()
        self._closed = False

    async def prepare(self) -> None:
        """Do what the first request would wait for: import, parse the URL, read the certificate authorities.

        Raises ValueError for an unusable URL.
        """
        await self._prepared()

    async def _prepared(self) -> _Origin:
        if self._origin is None:
            self._origin = await trio.to_thread.run_sync(_Origin.of, self.url)
        return self._origin

    async def post(self, headers: Sequence[Header], body: Sequence[bytes], idle: float) -> Exchange:
        """POST a body, given in parts; returns when the head of the response has arrived.

        `idle` bounds each wait for bytes, in seconds. Raises HttpFailure; ValueError for an unusable URL or header.
        """
        return await self._exchange("POST", headers, body, idle)

    async def get(self, headers: Sequence[Header], idle: float) -> Exchange:
        """GET; otherwise as `post`."""
        return await self._exchange("GET", headers, None, idle)

    async def _exchange(
        self, method: str, headers: Sequence[Header], body: Sequence[bytes] | None, idle: float
    ) -> Exchange:
        origin = self._origin or await self._prepared()
        import httpcore

        try:
            request = origin.request(method, headers, body, idle)
            try:
                return await self._send(origin, request)
            except httpcore.RemoteProtocolError as error:
                if "without sending a response" not in str(error):
                    raise
                # the server closed an idle connection at this moment; it did not process the request
                return await self._send(origin, request)
        except httpcore.ReadTimeout as error:
            raise Idle("idle timeout waiting for SSE") from error
        except httpcore.LocalProtocolError as error:
            if "header value" not in str(error):
                raise ValueError(f"{shown(self.url)}: {error}") from error
            # the value may be a key, so neither it nor the cause is quoted
            raise ValueError(f"{shown(self.url)}: a header has a value that cannot be sent") from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
            from spindle.rpc.model.reasons import reason_of

            reason, permanent = reason_of(error, origin.host, origin.proxy, min(idle, _CONNECT_SECONDS))
            raise (Unusable if permanent else HttpFailure)(reason) from error

    async def _send(self, origin: _Origin, request: httpcore.Request) -> Exchange:
        connection = await self._connection(origin)
        self._busy.add(connection)

        async def done() -> None:
            self._busy.discard(connection)
            if connection.is_idle() and not self._closed:
                self._idle.append((connection, trio.current_time()))
            else:
                await connection.aclose()

        try:
            return Exchange(await connection.handle_async_request(request), done)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
                await done()
            raise

    async def _connection(self, origin: _Origin) -> httpcore.AsyncConnectionInterface:
        """A connection that is free, or a new one, which connects with its first request."""
        while self._idle and self._idle[0][1] + _KEPT_SECONDS < trio.current_time():
            await _close(self._idle.popleft()[0])
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.has_expired():
                return connection
            await _close(connection)
        return origin.connect()

    async def aclose(self) -> None:
        """Close all connections; responses in progress fail."""
        self._closed = True
        idle, self._idle = self._idle, deque()
        for connection in [*(connection for connection, _ in idle), *self._busy]:
            await connection.aclose()


@frozen
class _Origin:
    """Where the requests for one URL go: what is the same for all of them."""

    url: httpcore.URL
    headers: Mapping[bytes, bytes]
    pool: httpcore.AsyncConnectionPool
    """Only makes connections: it knows whether they lead through a proxy."""
    host: str
    """The host and the port, for errors."""
    proxy: str | None
    """The same of the proxy, if there is one."""

    @classmethod
    def of(cls, address: str) -> _Origin:
        """Blocking. Raises ValueError for an unusable URL, or unusable certificate authorities."""
        import httpx

        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise ValueError(f"{shown(address)}: {error}") from error
        if (fault := url_fault(address)) is not None:
            raise ValueError(f"{shown(address)}: {fault}")
        common = {b"host": url.netloc, b"accept-encoding": b"identity", b"connection": b"keep-alive"}
        if url.userinfo:
            common[b"authorization"] = b"Basic " + b64encode(f"{url.username}:{url.password}".encode())
        context = _tls() if url.scheme == "https" else None
        proxy = _proxy_for(url.scheme, url.host)
        host = f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"
        return cls(_raw(url), common, _pool(context, proxy), host, proxy and shown(proxy).partition("://")[2].rstrip("/"))

    def connect(self) -> httpcore.AsyncConnectionInterface:
        """A new connection. Its first request opens it."""
        return self.pool.create_connection(self.url.origin)

    def request(
        self, method: str, headers: Sequence[Header], body: Sequence[bytes] | None, idle: float
    ) -> httpcore.Request:
        """The request. Raises UnicodeEncodeError, a ValueError."""
        import httpcore

        from spindle.rpc.model.body import RequestBody

        own = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        common = dict(self.headers)
        if body is not None:
            common[b"content-length"] = b"%d" % sum(map(len, body))
        for name, _ in own:
            common.pop(name.lower(), None)
        return httpcore.Request(
            method,
            self.url,
            headers=[*common.items(), *own],
            content=RequestBody(body or ()),
            extensions={"timeout": {"connect": min(idle, _CONNECT_SECONDS), "read": idle, "write": idle}},
        )


async def _close(connection: httpcore.AsyncConnectionInterface) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
        await connection.aclose()


def _tls() -> ssl.SSLContext:
    """The certificate authorities. Raises ValueError."""
    import ssl

    import httpx

    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        named = " and ".join(name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        reason = error.strerror if not isinstance(error, ssl.SSLError) else error.reason
        raise ValueError(f"the certificate authorities cannot be read, check {named or 'certifi'}: {reason}") from error


def _raw(url: httpx.URL) -> httpcore.URL:
    import httpcore

    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _pool(context: ssl.SSLContext | None, address: str | None) -> httpcore.AsyncConnectionPool:
    import httpcore
    import httpx

    from spindle.rpc.model.network import Network

    if address is None:
        return httpcore.AsyncConnectionPool(context, network_backend=Network())
    unusable = f"{shown(address)} is not the URL of a proxy; check http_proxy, https_proxy and all_proxy"
    if url_fault(address, _PROXIES) is not None:
        raise ValueError(unusable)
    try:
        proxy = httpx.Proxy(address)
    except (httpx.InvalidURL, ValueError):  # its text may have the password
        raise ValueError(unusable) from None
    kind = httpcore.AsyncSOCKSProxy if proxy.url.scheme.startswith("socks") else httpcore.AsyncHTTPProxy
    return kind(
        _raw(proxy.url),
        proxy_auth=proxy.raw_auth,
        ssl_context=context,
        network_backend=Network(),
    )


def _proxy_for(scheme: str, host: str) -> str | None:
    """The proxy for a host, from http_proxy, https_proxy, all_proxy and no_proxy in the environment, in either case."""
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    if host in _DIRECT or proxy_bypass(host, proxies):
        return None
    proxy = proxies.get(scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
