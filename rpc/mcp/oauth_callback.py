"""The listener on loopback to which the browser comes back with the code of an authorization."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import trio

from spindle.rpc.mcp.oauth import OAuthError
from spindle.rpc.protocol.values import one_line

_HEAD: Final = 16 * 1024
_CONNECTION_SECONDS: Final = 10.0
_AT_ONCE: Final = 16
_SHOWN: Final = 300
_DONE: Final = "Authentication complete. You may close this window."


class Callback:
    """Listens on `port` of 127.0.0.1 (0: any) once it is opened. `aclose` frees the port."""

    def __init__(self, listener: trio.SocketListener, path: str, state: str, issuer: str | None) -> None:
        self._listener = listener
        self._path, self._state, self._issuer = path, state, issuer
        self._code: str | None = None
        self._failure: str | None = None
        self._answered = trio.Event()
        self.port: int = listener.socket.getsockname()[1]

    @classmethod
    async def open(cls, port: int, path: str, state: str, issuer: str | None) -> Callback:
        """Raises OAuthError if the port cannot be had."""
        try:
            (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=_AT_ONCE)
        except OSError as error:
            raise OAuthError(f"the callback's port {port} cannot be opened: {error.strerror or error}") from error
        return cls(listener, path, state, issuer)

    async def code(self) -> str:
        """Wait for the code. Raises OAuthError if the authorization was refused."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._accept, nursery)
            await self._answered.wait()
            nursery.cancel_scope.cancel()
        if self._code is None:
            raise OAuthError(self._failure or "failed to handle OAuth callback")
        return self._code

    async def aclose(self) -> None:
        """Free the port."""
        await self._listener.aclose()

    async def _accept(self, nursery: trio.Nursery) -> None:
        room = trio.Semaphore(_AT_ONCE)
        while True:
            await room.acquire()
            nursery.start_soon(self._handle, await self._listener.accept(), room)

    async def _handle(self, stream: trio.SocketStream, room: trio.Semaphore) -> None:
        try:
            with trio.move_on_after(_CONNECTION_SECONDS):
                await self._serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            room.release()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        request = bytearray()
        while b"\r\n\r\n" not in request:
            piece = await stream.receive_some(_HEAD)
            if not piece or len(request) > _HEAD:
                return
            request += piece
        words = bytes(request).partition(b"\r\n")[0].decode("ascii", "replace").split(" ")
        status, text, settle = self._answer(words[0], words[1] if len(words) == 3 else "")
        body = text.encode()
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
            "cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n"
        )
        try:
            await stream.send_all(head.encode() + body)
        finally:
            if settle:
                self._answered.set()

    def _answer(self, method: str, target: str) -> tuple[str, str, bool]:
        """(Status, text, whether the login is decided). A request that is not the browser's changes nothing."""
        parts = urlsplit(target)
        if method != "GET" or parts.path != self._path:
            return "404 Not Found", "There is nothing here.", False
        given = dict(parse_qsl(parts.query))
        if not hmac.compare_digest(given.get("state", "").encode(), self._state.encode()):
            return "400 Bad Request", "The state of this request is not that of the login.", False
        if self._answered.is_set() or self._code is not None or self._failure is not None:
            return "400 Bad Request", "The login is over.", False
        self._failure = self._fault(given)
        if self._failure is not None:
            return "400 Bad Request", self._failure, True
        self._code = given["code"]
        return "200 OK", _DONE, True

    def _fault(self, given: Mapping[str, str]) -> str | None:
        if "error" in given:
            said = f"OAuth provider returned `{one_line(given['error'], _SHOWN)}`"
            more = given.get("error_description")
            return said if not more else f"{said}: {one_line(more, _SHOWN)}"
        if self._issuer is not None and "iss" in given and given["iss"] != self._issuer:
            return "the answer is that of another authorization server"
        return None if given.get("code") else "failed to handle OAuth callback"
