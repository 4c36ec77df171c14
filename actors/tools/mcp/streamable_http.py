"""A server over streamable HTTP: each message is a POST, answered by JSON or by a stream of events.

The session's id and the spoken version go along as headers. A GET stream, where the server offers one, carries what it
says without being asked. There is no OAuth: a server wants a bearer token of the configuration, or none.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import trio

from spindle.actors.tools.mcp.errors import McpError, StartupFailed, TransportClosed
from spindle.actors.tools.mcp.shapes import Json
from spindle.rpc.large import apart
from spindle.rpc.model.sse import EventSplitter, payloads
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.values import loads
from spindle.rpc.urls import shown
from spindle.storage.config import McpServerConfig

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("spindle")

_ACCEPT: Final = "application/json, text/event-stream"
_SESSION: Final = "mcp-session-id"
_CONNECT_SECONDS: Final = 30.0
_SIDE_SECONDS: Final = 5.0
"""How long a message that nobody waits for may take to be handed over."""
_GOODBYE_SECONDS: Final = 2.0
_MESSAGES_WAITING: Final = 64
_MESSAGE_BYTES: Final = 64 << 20
_SHOWN_BYTES: Final = 300
_AGAIN_SECONDS: Final = 1.0
_AGAIN_SECONDS_MOST: Final = 60.0
_DIRECT: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class HttpTransport:
    """Messages over one session of one URL. What goes on in the background runs in `nursery`."""

    def __init__(self, name: str, client: httpx.AsyncClient, url: str, nursery: trio.Nursery) -> None:
        self._name = name
        self._client = client
        self._url = url
        self._nursery = nursery
        self._headers = {"accept": _ACCEPT}
        self._incoming, self._received = trio.open_memory_channel[Json](_MESSAGES_WAITING)
        self._answers: dict[object, trio.CancelScope] = {}

    async def send(self, message: Json) -> None:
        """Returns when the server has taken the message; its answer comes by `receive`. Raises McpError."""
        import httpx

        try:
            request = self._client.build_request(
                "POST", self._url, content=encode(message), headers=self._headers | {"content-type": "application/json"}
            )
            response = await self._client.send(request, stream=True)
            if (moved := response.next_request) is not None and _origin(moved.url) == _origin(request.url):
                # Servers like to add a slash to their path. Elsewhere our headers have no business.
                await _Body(response).__aexit__()
                self._url = str(moved.url)
                response = await self._client.send(moved, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if "header value" in str(error):  # which may be a key, and so its words stay here
                raise McpError(f"HTTP request failed: {shown(self._url)}: a header has a value that cannot be sent") from None
            raise McpError(f"HTTP request failed: {shown(self._url)}: {str(error) or type(error).__name__}") from error
        number = message["id"] if "method" in message and "id" in message else None
        if response.is_success:
            if (session := response.headers.get(_SESSION)) is not None:
                self._headers[_SESSION] = session
            self._nursery.start_soon(self._answered, response, number)
            if message.get("method") == "notifications/initialized":
                self._nursery.start_soon(self._listen)
            return
        await self._refused(response)

    async def _refused(self, response: httpx.Response) -> None:
        status = response.status_code
        async with _Body(response) as body:
            said = (await body.rest(_SHOWN_BYTES)).decode("utf-8", "replace")
        if status == 404 and _SESSION in self._headers:
            # The server forgot the session; everything that waits for it would wait for ever.
            self._incoming.close()
            raise TransportClosed("the server ended the session")
        raise McpError(f"HTTP status {status}{': ' + said if said else ''}")

    def post(self, message: Json) -> None:
        if message.get("method") == "notifications/cancelled":
            scope = self._answers.get(message["params"]["requestId"])
            if scope is not None:
                scope.cancel()
        self._nursery.start_soon(self._post, message)

    async def _post(self, message: Json) -> None:
        with trio.move_on_after(_SIDE_SECONDS):
            try:
                await self.send(message)
            except McpError as error:
                log.debug("a message to MCP server %s was lost: %s", self._name, error)

    async def receive(self) -> Json | None:
        try:
            return await self._received.receive()
        except trio.EndOfChannel:
            return None

    def settled(self, version: str) -> None:
        self._headers["mcp-protocol-version"] = version

    async def goodbye(self) -> None:
        """Tell the server that the session is over, for as long as a goodbye may take."""
        import httpx

        if _SESSION not in self._headers:
            return
        with trio.move_on_after(_GOODBYE_SECONDS):
            try:
                await self._client.delete(self._url, headers=self._headers)
            except httpx.HTTPError:
                log.debug("MCP server %s was not told that its session is over", self._name)

    async def _answered(self, response: httpx.Response, number: object) -> None:
        """Pass on what a POST is answered with; a request that stays without an answer gets an error."""
        answered = False
        with trio.CancelScope() as scope:
            if number is not None:
                self._answers[number] = scope
            try:
                async with _Body(response) as body:
                    while messages := await body.messages(self._name):
                        for message in messages:
                            answered = answered or (message.get("id") == number and "method" not in message)
                            await self._incoming.send(message)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                return
            finally:
                self._answers.pop(number, None)
            if number is not None and not answered:
                error = {"code": -32000, "message": "the connection ended without an answer"}
                with trio.move_on_after(_SIDE_SECONDS):
                    await self._incoming.send({"jsonrpc": "2.0", "id": number, "error": error})

    async def _listen(self) -> None:
        """The server's own stream, again and again until the server says that it has none."""
        import httpx

        pause = _AGAIN_SECONDS
        while True:
            try:
                headers = self._headers | {"accept": "text/event-stream"}
                request = self._client.build_request("GET", self._url, headers=headers)
                response = await self._client.send(request, stream=True)
                async with _Body(response) as body:
                    if not response.is_success:
                        return
                    while messages := await body.messages(self._name):
                        pause = _AGAIN_SECONDS
                        for message in messages:
                            await self._incoming.send(message)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                return
            except httpx.HTTPError as error:
                log.debug("the stream of MCP server %s broke: %s", self._name, error)
            await trio.sleep(pause)
            pause = min(2 * pause, _AGAIN_SECONDS_MOST)


@asynccontextmanager
async def open_http(config: McpServerConfig, environ: Mapping[str, str]) -> AsyncGenerator[HttpTransport]:
    """Open a session with the server at `config.url`. Raises StartupFailed where the configuration is of no use."""
    headers = _headers(config, environ)
    client = await trio.to_thread.run_sync(_client, headers)
    try:
        async with trio.open_nursery() as nursery:
            transport = HttpTransport(config.name, client, cast(str, config.url), nursery)
            try:
                yield transport
            finally:
                with trio.CancelScope(shield=True):
                    await transport.goodbye()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _GOODBYE_SECONDS):
            await client.aclose()


def _headers(config: McpServerConfig, environ: Mapping[str, str]) -> dict[str, str]:
    headers = dict(config.http_headers)
    headers |= {name: environ[var] for name, var in config.env_http_headers.items() if environ.get(var)}
    if (variable := config.bearer_token_env_var) is not None:
        if not (token := environ.get(variable)):
            raise StartupFailed(f"Environment variable {variable} for MCP server '{config.name}' is not set")
        headers["authorization"] = f"Bearer {token}"
    return headers


def _client(headers: Mapping[str, str]) -> httpx.AsyncClient:
    """In a worker thread: importing httpx and reading the certificates take a tenth of a second each."""
    import httpx

    # How long an answer takes is bounded by whoever waits for it.
    timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
    return httpx.AsyncClient(headers=headers, timeout=timeout, mounts=dict.fromkeys(_DIRECT))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


class _Body:
    """The body of a response, closed at the end of the `async with`."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._events = response.headers.get("content-type", "").startswith("text/event-stream")
        self._splitter = EventSplitter()
        self._ended = False

    async def __aenter__(self) -> _Body:
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _GOODBYE_SECONDS):
            await self._response.aclose()
            # httpx's body is a nest of generators; on a closed connection the next step ends every one of them.
            while await self._chunk():
                pass

    async def messages(self, name: str) -> list[Json]:
        """The messages that came next: of an event stream as they come, otherwise the one there is; [] at the end."""
        found: list[Json] = []
        while not found and not self._ended:
            if self._events:
                chunk = await self._chunk()
                self._ended = not chunk
                events = self._splitter.take(chunk) if chunk else self._splitter.rest()
                said = await apart(len(events), None, payloads, events)
            else:
                said = [await self.rest(_MESSAGE_BYTES)]
                self._ended = True
            for payload in said:
                found += await apart(len(payload), None, _decoded, payload, name)
        return found

    async def rest(self, limit: int) -> bytes:
        """The body, at most `limit` bytes of it."""
        parts: list[bytes] = []
        size = 0
        while size < limit and (chunk := await self._chunk()):
            parts.append(chunk)
            size += len(chunk)
        return b"".join(parts)[:limit]

    async def _chunk(self) -> bytes:
        """b"" at the end, also where the connection breaks."""
        import httpx

        try:
            return await anext(self._chunks, b"")
        except (httpx.HTTPError, httpx.StreamError) as error:
            log.debug("an answer of an MCP server broke off: %s", error)
            return b""


def _decoded(payload: bytes, name: str) -> list[Json]:
    if not payload:
        return []
    try:
        message: Any = loads(payload)
    except orjson.JSONDecodeError:
        message = None
    if isinstance(message, dict):
        return [cast("Json", message)]
    log.warning("MCP server %s sent what is no message: %s", name, payload[:_SHOWN_BYTES])
    return []
