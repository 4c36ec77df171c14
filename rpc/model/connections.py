"""HTTP connections to one provider: httpx transports, which do keep-alive, TLS and proxies.

No httpx client is used. It does more for each request (cookies, redirects, authentication, merged settings), which is
not needed here and takes as long as sending the request.

httpx is imported at the first request, in a worker thread: the import takes longer than the rest of a daemon's start.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from spindle.rpc.protocol.values import one_line
from spindle.rpc.urls import shown

if TYPE_CHECKING:
    import ssl

    import httpx

Header: TypeAlias = tuple[str, str]

BODY_BYTES: Final = 512 << 20
"""The most bytes of an answer, the bytes between events included."""
_SHARE = 8
"""The most requests in flight on one transport. A transport scans all its connections for each request, so one
transport for hundreds of streams would be quadratic.
"""
_KEPT_SECONDS = 90.0
_CONNECT_SECONDS = 30.0
_LAST_BYTES_SECONDS = 0.02
_CLOSE_SECONDS = 1.0
_PIECES_IN_A_ROW = 64
"""Pieces of a body that are read between two checkpoints: small pieces that have already arrived need no waiting."""
_DIRECT = frozenset(("localhost", "127.0.0.1", "::1"))


class HttpFailure(Exception):
    """The exchange failed below HTTP: no connection, a lost connection, or bytes that are not HTTP."""


class Idle(HttpFailure):
    """No bytes arrived within the idle timeout."""


class UnreadableAnswer(HttpFailure):
    """The body has an encoding that was not requested, or exceeds the bound."""


class Exchange:
    """A response; `status` is known, the body is read piece by piece.

    A compressed body was not requested and is not read: its size has no bound.
    """

    def __init__(self, response: httpx.Response, done: Callable[[], None]) -> None:
        self._response = response
        self._done = done
        self._chunks: AsyncIterator[bytes] = response.aiter_raw()
        self._pieces = self._bytes = 0

    @property
    def status(self) -> int:
        """The status code."""
        return self._response.status_code

    def header(self, name: str) -> str | None:
        """The value of a header."""
        value: str | None = self._response.headers.get(name)
        return value

    async def chunk(self) -> bytes:
        """The next bytes, b"" at the end of the body. Raises HttpFailure."""
        import httpx

        if not self._pieces and (encoding := self.header("content-encoding") or "identity") != "identity":
            raise UnreadableAnswer(f"the answer has the content-encoding {one_line(encoding, 100)}, which was not asked for")
        self._pieces += 1
        if self._pieces % _PIECES_IN_A_ROW == 0:
            await trio.lowlevel.checkpoint()
        try:
            piece = await anext(self._chunks, b"")
        except httpx.TimeoutException as error:
            raise Idle("idle timeout waiting for SSE") from error
        except httpx.HTTPError as error:
            raise HttpFailure(_reason(error)) from error
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
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
                await self._response.aclose()
                # httpx's body is nested generators; on a closed connection, one more step ends all of them. Otherwise
                # the garbage collector would have to close them.
                await self.rest(1 << 16)
        finally:
            self._done()


class Connections:
    """Connections to one URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pools: list[_Pool] = []
        self._context: ssl.SSLContext | None = None
        self._parsed: httpx.URL | None = None

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
        if self._context is None:
            self._context = await trio.to_thread.run_sync(_ssl_context, self.url)
        import httpx

        try:
            url = self._parsed = self._parsed or httpx.URL(self.url)
            if not url.host:
                raise httpx.UnsupportedProtocol("the URL has no host")
            pool = next((pool for pool in self._pools if pool.in_use < _SHARE), None)
            if pool is None:
                pool = _Pool(_open(url, self._context))
                self._pools.append(pool)
            request = _request(method, url, headers, body, idle)
            return Exchange(await pool.send(request), pool.free)
        except httpx.ReadTimeout as error:
            raise Idle("idle timeout waiting for SSE") from error
        except httpx.LocalProtocolError as error:
            if "header value" not in str(error):
                raise ValueError(f"{shown(self.url)}: {error}") from error
            # the value may be a key, so neither it nor the cause is quoted
            raise ValueError(f"{shown(self.url)}: a header has a value that cannot be sent") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ValueError(f"{shown(self.url)}: {error}") from error
        except httpx.HTTPError as error:
            raise HttpFailure(_reason(error)) from error

    async def aclose(self) -> None:
        """Close all connections; responses in progress fail."""
        pools, self._pools = self._pools, []
        for pool in pools:
            await pool.transport.aclose()


class _Pool:
    """A transport and its number of requests in flight."""

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.in_use = 0

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request; returns the head of the response. The caller calls `free` after the body. Raises httpx.HTTPError."""
        import httpx

        self.in_use += 1
        try:
            try:
                return await self.transport.handle_async_request(request)
            except httpx.RemoteProtocolError as error:
                if "without sending a response" not in str(error):
                    raise
                # the server closed an idle connection at this moment; it did not process the request
                return await self.transport.handle_async_request(request)
        except BaseException:
            self.free()
            raise

    def free(self) -> None:
        """A request ended."""
        self.in_use -= 1


def _request(
    method: str, url: httpx.URL, headers: Sequence[Header], body: Sequence[bytes] | None, idle: float
) -> httpx.Request:
    import httpx

    from spindle.rpc.model.body import RequestBody

    common = {"host": url.netloc.decode("ascii"), "accept-encoding": "identity", "connection": "keep-alive"}
    if url.userinfo:
        common["authorization"] = f"Basic {b64encode(f'{url.username}:{url.password}'.encode()).decode()}"
    if body is not None:
        common["content-length"] = str(sum(map(len, body)))
    for name, _ in headers:
        common.pop(name.lower(), None)
    return httpx.Request(
        method,
        url,
        headers=[*common.items(), *headers],
        stream=RequestBody(body or ()),
        extensions={"timeout": httpx.Timeout(idle, connect=min(idle, _CONNECT_SECONDS)).as_dict()},
    )


def _open(url: httpx.URL, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=_SHARE, keepalive_expiry=_KEPT_SECONDS)
    return httpx.AsyncHTTPTransport(verify=context, limits=limits, proxy=_proxy_for(url.scheme, url.host))


def _proxy_for(scheme: str, host: str) -> str | None:
    """The proxy for a host, from http_proxy, https_proxy, all_proxy and no_proxy in the environment, in either case."""
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    if host in _DIRECT or proxy_bypass(host, proxies):
        return None
    proxy = proxies.get(scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _ssl_context(url: str) -> ssl.SSLContext:
    """What a server's certificate is checked against.

    Reading the certificate authorities takes as long as a short turn, so it is not done for `http:`. That context trusts no
    certificate.
    """
    import ssl

    import httpx

    secure = url.lower().startswith("https:")
    return httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
