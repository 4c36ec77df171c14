"""One provider's HTTP connections: httpx, which keeps them alive, speaks TLS and goes through the proxies of the environment.

httpx is imported when the first request is made, in a worker thread, because it costs a daemon's start more than
everything else together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import trio

if TYPE_CHECKING:
    import ssl

    import httpx

Header: TypeAlias = tuple[str, str]

_SHARE = 8
"""Requests one httpx client has under way at most: it looks at all its connections for each request, which makes one
client for hundreds of streams quadratic."""
_KEPT_SECONDS = 90.0
_CONNECT_SECONDS = 30.0
_LAST_BYTES_SECONDS = 0.02
_CLOSE_SECONDS = 1.0
_DIRECT = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class HttpFailure(Exception):
    """The exchange failed below HTTP: no connection, a lost one, or bytes that are no HTTP."""


class Idle(HttpFailure):
    """Nothing came for as long as the caller was ready to wait."""


class Exchange:
    """A request that is being answered; `status` is known, the body is taken piece by piece."""

    def __init__(self, response: httpx.Response, done: Callable[[], None]) -> None:
        self._response = response
        self._done = done
        self._chunks: AsyncIterator[bytes] = response.aiter_raw()

    @property
    def status(self) -> int:
        """The status code."""
        return self._response.status_code

    def header(self, name: str) -> str | None:
        """A header of the answer."""
        value: str | None = self._response.headers.get(name)
        return value

    async def chunk(self) -> bytes:
        """The bytes that came next, b"" at the end of the body. Raises HttpFailure."""
        import httpx

        try:
            return await anext(self._chunks, b"")
        except httpx.TimeoutException as error:
            raise Idle("idle timeout waiting for SSE") from error
        except httpx.HTTPError as error:
            raise HttpFailure(_reason(error)) from error

    async def rest(self, limit: int) -> bytes:
        """The body, at most `limit` bytes of it; what a broken connection leaves out is missing."""
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
        """End the exchange. The connection is kept if all was read; `whole` says that only the body's end mark is missing."""
        if whole:
            with trio.move_on_after(_LAST_BYTES_SECONDS):
                await self.rest(1 << 16)
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
                await self._response.aclose()
                # httpx's body is a nest of generators; on a closed connection the next step ends every one of them,
                # where an abandoned nest would be left to the garbage collector
                await self.rest(1 << 16)
        finally:
            # httpx ties the two in a circle, which would keep the request, body and all, until the collector comes
            del self._response.stream
            self._done()


class Connections:
    """Connections to one URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pools: list[_Pool] = []
        self._context: ssl.SSLContext | None = None

    async def post(self, headers: Sequence[Header], body: Sequence[bytes], idle: float) -> Exchange:
        """POST a body, given in parts; returns when the head of the answer is there. `idle` bounds each wait for bytes, in
        seconds.

        Raises HttpFailure; ValueError for a URL or a header that cannot be used.
        """
        return await self._exchange("POST", headers, body, idle)

    async def get(self, headers: Sequence[Header], idle: float) -> Exchange:
        """As `post`, without a body."""
        return await self._exchange("GET", headers, None, idle)

    async def _exchange(
        self, method: str, headers: Sequence[Header], body: Sequence[bytes] | None, idle: float
    ) -> Exchange:
        if self._context is None:
            self._context = await trio.to_thread.run_sync(_ssl_context)
        import httpx

        pool = next((pool for pool in self._pools if pool.in_use < _SHARE), None)
        if pool is None:
            pool = _Pool(self._open(self._context))
            self._pools.append(pool)
        pool.in_use += 1
        try:
            return Exchange(await self._send(pool.client, method, headers, body, idle), pool.free)
        except BaseException as error:
            pool.free()
            if isinstance(error, httpx.ReadTimeout):
                raise Idle("idle timeout waiting for SSE") from error
            if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
                raise ValueError(f"{self.url}: {error}") from error
            if isinstance(error, httpx.HTTPError):
                raise HttpFailure(_reason(error)) from error
            raise

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        headers: Sequence[Header],
        body: Sequence[bytes] | None,
        idle: float,
    ) -> httpx.Response:
        import httpx

        from spindle.rpc.model.body import Body

        timeout = httpx.Timeout(idle, connect=min(idle, _CONNECT_SECONDS))
        length = [] if body is None else [("content-length", str(sum(map(len, body))))]
        request = client.build_request(method, self.url, headers=[*headers, *length], timeout=timeout)
        if body is not None:
            request.stream = Body(body)
        try:
            return await client.send(request, stream=True)
        except httpx.RemoteProtocolError as error:
            if "without sending a response" not in str(error):
                raise
            # a kept connection that the server closed just now; the request was not dealt with
            return await client.send(request, stream=True)

    async def aclose(self) -> None:
        """Close every connection; answers in progress fail."""
        pools, self._pools = self._pools, []
        for pool in pools:
            await pool.client.aclose()

    def _open(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(
            verify=context,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_SHARE, keepalive_expiry=_KEPT_SECONDS),
            mounts=dict.fromkeys(_DIRECT),
            headers={"accept-encoding": "identity"},
        )


class _Pool:
    """An httpx client and how many requests it has under way."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.in_use = 0

    def free(self) -> None:
        """A request has ended."""
        self.in_use -= 1


def _ssl_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
