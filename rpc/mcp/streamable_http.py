"""The streamable HTTP transport: each message is a POST, answered with JSON or a stream of events.

Headers carry the session's id and the protocol version. A GET stream, if the server offers one, carries messages that
answer no request. A bearer token is from the configuration, or from a login (`Tokens`), or there is none.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import trio

from spindle.rpc.mcp.http_body import CLOSE_SECONDS, HttpBody, UnreadableBody
from spindle.rpc.mcp.http_client import http_client
from spindle.rpc.mcp.mcp_errors import LoginRequired, McpError, TransportClosed
from spindle.rpc.mcp.messages import NoMessage, failure
from spindle.rpc.mcp.payload import Json
from spindle.rpc.mcp.server_log import ServerLog
from spindle.rpc.mcp.session import PROTOCOL_VERSION
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.values import readable
from spindle.rpc.urls import shown

if TYPE_CHECKING:
    import httpx

_ACCEPT: Final = "application/json, text/event-stream"
_SESSION: Final = "mcp-session-id"
_SIDE_SECONDS: Final = 5.0
"""Seconds to send a message that has no answer, and for a stream to end after its answer."""
_SIDE_AT_ONCE: Final = 16
"""Messages without an answer that may be in flight; more are dropped."""
_GOODBYE_SECONDS: Final = 2.0
_MESSAGES_WAITING: Final = 64
_SHOWN_BYTES: Final = 300
_USABLE_SESSION: Final = re.compile(r"[\x21-\x7e]{1,1024}")
_USABLE_VERSION: Final = re.compile(r"\d{4}-\d\d-\d\d")
_AGAIN_SECONDS: Final = 1.0
_AGAIN_SECONDS_MOST: Final = 60.0


class Tokens(Protocol):
    """The tokens of a login. The methods raise McpError; LoginRequired if the user has to log in again."""

    async def token(self) -> str | None:
        """A valid access token; None without a login."""
        ...

    async def renewed(self, refused: str) -> str | None:
        """Another access token than one that the server has refused; None without a login."""
        ...


class HttpTransport:
    """Messages over one session at one URL. Background tasks run in `nursery`."""

    def __init__(
        self, name: str, client: httpx.AsyncClient, url: str, nursery: trio.Nursery, tokens: Tokens | None = None
    ) -> None:
        self._name = name
        self._tokens = tokens
        self.pid: int | None = None
        self._log = ServerLog(name)
        self._side = 0
        self._client = client
        self._url = url
        self._nursery = nursery
        self._headers = {"accept": _ACCEPT}
        self._incoming, self._received = trio.open_memory_channel[Json](_MESSAGES_WAITING)
        self._answers: dict[object, trio.CancelScope] = {}

    async def send(self, message: Json) -> None:
        """Send a message; `receive` gives its answer. Returns when the server accepted it. Raises McpError."""
        response = await self._deliver(message)
        number = message["id"] if "method" in message and "id" in message else None
        self._nursery.start_soon(self._answered, response, number)
        if message.get("method") == "notifications/initialized":
            self._nursery.start_soon(self._listen)

    async def _deliver(self, message: Json) -> httpx.Response:
        """POST a message; returns the response. Raises McpError unless its status is a success."""
        used = None if self._tokens is None else self._authorize(await self._tokens.token())
        response = await self._post_to(message)
        if response.status_code == 401 and self._tokens is not None:
            renewed = None if used is None else await self._tokens.renewed(used)
            if renewed is None or renewed == used:
                await HttpBody(response, self._log).__aexit__()
                raise LoginRequired(self._name, again=used is not None)
            await HttpBody(response, self._log).__aexit__()
            self._authorize(renewed)
            response = await self._post_to(message)
        if not response.is_success:
            await self._refused(response)
        await self._keep_session(response)
        return response

    def _authorize(self, token: str | None) -> str | None:
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        return token

    async def _post_to(self, message: Json) -> httpx.Response:
        import httpx

        try:
            request = self._client.build_request(
                "POST", self._url, content=encode(message), headers=self._headers | {"content-type": "application/json"}
            )
            response = await self._client.send(request, stream=True)
            if (moved := response.next_request) is not None and _origin(moved.url) == _origin(request.url):
                # Servers often redirect to add a slash. Our headers are not sent to another origin.
                await HttpBody(response, self._log).__aexit__()
                self._url = str(moved.url)
                response = await self._client.send(moved, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if "header value" in str(error):  # the value may be a key, so it is not quoted
                raise McpError(f"HTTP request failed: {shown(self._url)}: a header has a value that cannot be sent") from None
            raise McpError(f"HTTP request failed: {shown(self._url)}: {str(error) or type(error).__name__}") from error
        return response

    async def _refused(self, response: httpx.Response) -> NoReturn:
        status = response.status_code
        async with HttpBody(response, self._log) as body:
            explanation = readable((await body.start(_SHOWN_BYTES)).decode("utf-8", "replace"), _SHOWN_BYTES)
        if status == 404 and _SESSION in self._headers:
            # The server forgot the session, so no pending request will be answered.
            self._incoming.close()
            raise TransportClosed("the server ended the session")
        raise McpError(f"HTTP status {status}{': ' + explanation if explanation else ''}")

    async def _keep_session(self, response: httpx.Response) -> None:
        session = response.headers.get(_SESSION)
        if session is None:
            return
        if not _USABLE_SESSION.fullmatch(session):
            await HttpBody(response, self._log).__aexit__()
            raise McpError("the server's Mcp-Session-Id is not visible ASCII, or longer than 1024 characters")
        self._headers[_SESSION] = session

    def post(self, message: Json) -> None:
        if message.get("method") == "notifications/cancelled":
            scope = self._answers.get(message["params"]["requestId"])
            if scope is not None:
                scope.cancel()
        if self._side < _SIDE_AT_ONCE:
            self._side += 1
            self._nursery.start_soon(self._post, message)
        else:
            self._log.log_line("a message to it was dropped: too many are in flight")

    async def _post(self, message: Json) -> None:
        try:
            with trio.move_on_after(_SIDE_SECONDS):
                await self._answered(await self._deliver(message), None)
        except McpError as error:
            self._log.log_line(f"a message to it was lost: {error}")
        finally:
            self._side -= 1

    async def receive(self) -> Json | None:
        try:
            return await self._received.receive()
        except trio.EndOfChannel:
            return None

    def settled(self, version: str) -> None:
        self._headers["mcp-protocol-version"] = version if _USABLE_VERSION.fullmatch(version) else PROTOCOL_VERSION

    async def goodbye(self) -> None:
        """Tell the server that the session is over, in bounded time."""
        import httpx

        if _SESSION not in self._headers:
            return
        with trio.move_on_after(_GOODBYE_SECONDS):
            try:
                request = self._client.build_request("DELETE", self._url, headers=self._headers)
                await HttpBody(await self._client.send(request, stream=True), self._log).__aexit__()
            except httpx.HTTPError:
                self._log.log_line("the end of its session could not be sent")

    async def _answered(self, response: httpx.Response, number: object) -> None:
        """Pass on the messages in the answer to a POST; a request without an answer gets an error.

        A stream that continues after its answer, or that answers no request, is read for a few seconds only.
        """
        reason = "the connection ended without an answer"
        answered = False
        with trio.CancelScope() as scope:
            if number is None:
                scope.deadline = trio.current_time() + _SIDE_SECONDS
            else:
                self._answers[number] = scope
            try:
                async with HttpBody(response, self._log) as body:
                    while messages := await body.messages():
                        for message in messages:
                            if not answered and message.get("id") == number and "method" not in message:
                                answered = True
                                scope.deadline = min(scope.deadline, trio.current_time() + _SIDE_SECONDS)
                            await self._incoming.send(message)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                return
            except (NoMessage, UnreadableBody) as error:
                reason = str(error)
            finally:
                self._answers.pop(number, None)
            if number is not None and not answered:
                with trio.move_on_after(_SIDE_SECONDS):
                    await self._incoming.send(failure(number, reason))

    async def _listen(self) -> None:
        """Read the server's own stream; reconnect until the server offers none or exceeds a bound."""
        import httpx

        pause = _AGAIN_SECONDS
        while True:
            try:
                headers = self._headers | {"accept": "text/event-stream"}
                request = self._client.build_request("GET", self._url, headers=headers)
                response = await self._client.send(request, stream=True)
                async with HttpBody(response, self._log) as body:
                    if not response.is_success:
                        return
                    while messages := await body.messages():
                        pause = _AGAIN_SECONDS
                        for message in messages:
                            await self._incoming.send(message)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                return
            except (NoMessage, UnreadableBody) as error:
                self._log.fault(f"{error}; its own stream is not listened to any more")
                return
            except httpx.HTTPError as error:
                self._log.log_line(f"its stream broke: {error}")
            await trio.sleep(pause)
            pause = min(2 * pause, _AGAIN_SECONDS_MOST)


@asynccontextmanager
async def open_http(
    name: str, url: str, headers: Mapping[str, str], tokens: Tokens | None = None
) -> AsyncGenerator[HttpTransport]:
    """Open a session with the server at `url`; `name` is its name in the log. `headers` are sent with each request.

    `tokens` are those of a login, if the server may have one.
    """
    client = await trio.to_thread.run_sync(http_client, headers)
    try:
        async with trio.open_nursery() as nursery:
            transport = HttpTransport(name, client, url, nursery, tokens)
            try:
                yield transport
            finally:
                with trio.CancelScope(shield=True):
                    await transport.goodbye()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            await client.aclose()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
