"""One session with a server: requests and answers, requests from the server, notifications, timeouts, cancellation.

The official package is not used: its client costs 39 MB and 0.45 s of import, brings a second HTTP stack and a web
server, and cannot stop a timeout while the user answers a question.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

import trio

from spindle.rpc.lenient import mapping
from spindle.rpc.mcp.mcp_errors import BadAnswer, ServerError, TimedOut, TooMuch, TransportClosed
from spindle.rpc.mcp.messages import is_id
from spindle.rpc.mcp.payload import Json
from spindle.rpc.mcp.transport import McpTransport

log = logging.getLogger("spindle")

PROTOCOL_VERSION: Final = "2025-06-18"
METHOD_NOT_FOUND: Final = -32601
_QUESTIONS_AT_ONCE: Final = 16
_SHOWN: Final = 200
Progress = Callable[[Json], None]


class Callbacks(Protocol):
    """What a session calls on its owner."""

    async def answer_elicitation(self, params: Json) -> Json:
        """Answer `elicitation/create`; returns its result. Timeouts stand still meanwhile."""
        ...

    def notified(self, method: str, params: Json) -> None:
        """A notification arrived that the session does not handle itself."""


class _Pending:
    """A request without an answer yet."""

    def __init__(self, progress: Progress | None) -> None:
        self.answered = trio.Event()
        self.answer: Json | None = None
        self.progress = progress
        self.scope = trio.CancelScope()


class McpSession:
    """Speaks MCP over a transport. `run` must be running for everything else to work."""

    def __init__(self, transport: McpTransport, callbacks: Callbacks) -> None:
        self._transport = transport
        self._callbacks = callbacks
        self._ids = itertools.count()
        self._pending: dict[object, _Pending] = {}
        self._questions = 0
        self._remaining: dict[_Pending, float] = {}
        self._closed = False
        self._fault: TooMuch | None = None

    async def run(self) -> None:
        """Receive messages until the server closes. Then all pending requests raise TransportClosed.

        If the server exceeds a bound, receiving stops and they raise TooMuch.
        """
        try:
            async with trio.open_nursery() as nursery:
                try:
                    while (message := await self._transport.receive()) is not None:
                        self._take(message, nursery)
                except TooMuch as error:
                    self._fault = error
                nursery.cancel_scope.cancel()
        finally:
            self._closed = True
            for pending in self._pending.values():
                pending.answered.set()

    async def initialize(self, client_info: Json) -> Json:
        """Do the handshake; returns the result of `initialize`."""
        result = await self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL_VERSION,
                "capabilities": {"elicitation": {"form": {}}},
                "clientInfo": dict(client_info),
            },
            tracked=False,
        )
        version = result.get("protocolVersion")
        self._transport.settled(version if isinstance(version, str) else PROTOCOL_VERSION)
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return result

    async def request(
        self,
        method: str,
        params: Json | None = None,
        *,
        timeout: float = math.inf,
        progress: Progress | None = None,
        tracked: bool = True,
    ) -> Json:
        """Send a request and return its result; `timeout` in seconds.

        A request that times out or is cancelled is also cancelled at the server. Raises ServerError, TimedOut,
        TransportClosed, BadAnswer.
        """
        number = next(self._ids)
        sent: dict[str, Any] = dict(params or {})
        if tracked:
            sent["_meta"] = {**cast("Json", sent.get("_meta") or {}), "progressToken": number}
        pending = self._pending[number] = _Pending(progress)
        self._set_deadline(pending, timeout)
        try:
            with pending.scope:
                await self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": sent})
                await pending.answered.wait()
        finally:
            del self._pending[number]
            self._remaining.pop(pending, None)
            if pending.answer is None and not self._closed and method != "initialize":
                reason = "timed out" if pending.scope.cancelled_caught else "cancelled"
                self._transport.post(_notification("notifications/cancelled", requestId=number, reason=reason))
        if pending.answer is None:
            raise TimedOut(method, timeout) if pending.scope.cancelled_caught else self._ended()
        return _result(pending.answer)

    async def _send(self, message: Json) -> None:
        if self._closed:
            raise self._ended()
        await self._transport.send(message)

    def _ended(self) -> TransportClosed:
        return TransportClosed() if self._fault is None else TooMuch(str(self._fault))

    def _take(self, message: Json, nursery: trio.Nursery) -> None:
        method, number = message.get("method"), message.get("id")
        if isinstance(method, str):
            known = mapping(message.get("params"))
            if number is None:
                self._notified(method, known)
            elif is_id(number):
                self._asked(number, method, known, nursery)
        elif type(number) is int and (pending := self._pending.get(number)) is not None:
            pending.answer = message
            pending.answered.set()

    def _notified(self, method: str, params: Json) -> None:
        if method == "notifications/progress":
            token = params.get("progressToken")
            pending = self._pending.get(token) if type(token) is int else None
            if pending is not None and pending.progress is not None:
                pending.progress(params)
        else:
            self._callbacks.notified(method, params)

    def _asked(self, number: object, method: str, params: Json, nursery: trio.Nursery) -> None:
        if method == "ping":
            self._transport.post(_answer(number, {}))
        elif method == "roots/list":
            self._transport.post(_answer(number, {"roots": []}))
        elif method == "elicitation/create" and self._questions < _QUESTIONS_AT_ONCE:
            self._pause()
            nursery.start_soon(self._elicit, number, params)
        else:
            self._transport.post(
                {"jsonrpc": "2.0", "id": number, "error": {"code": METHOD_NOT_FOUND, "message": method[:_SHOWN]}}
            )

    async def _elicit(self, number: object, params: Json) -> None:
        try:
            answer = await self._callbacks.answer_elicitation(params)
        finally:
            self._resume()
        self._transport.post(_answer(number, answer))

    def _set_deadline(self, pending: _Pending, seconds: float) -> None:
        if self._questions:
            self._remaining[pending] = seconds
        else:
            pending.scope.deadline = trio.current_time() + seconds

    def _pause(self) -> None:
        self._questions += 1
        if self._questions == 1:
            now = trio.current_time()
            for pending in self._pending.values():
                self._remaining[pending] = pending.scope.deadline - now
                pending.scope.deadline = math.inf

    def _resume(self) -> None:
        self._questions -= 1
        if self._questions == 0:
            now = trio.current_time()
            for pending, seconds in self._remaining.items():
                pending.scope.deadline = now + seconds
            self._remaining.clear()


def _result(answer: Json) -> Json:
    if (error := mapping(answer.get("error"))) or "error" in answer:
        raise ServerError(error.get("code"), error.get("message"), error.get("data"))
    result = answer.get("result")
    if not isinstance(result, dict):
        raise BadAnswer
    return cast("Mapping[str, Any]", result)


def _answer(number: object, result: Json) -> Json:
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _notification(method: str, **params: object) -> Json:
    return {"jsonrpc": "2.0", "method": method, "params": params}
