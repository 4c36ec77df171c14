"""Read the body of an HTTP response within bounds: one message, or a stream of events with one message each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import trio

from spindle.rpc.large import apart
from spindle.rpc.mcp.messages import MESSAGE_BYTES, NoMessage, decoded, failure
from spindle.rpc.mcp.payload import Json
from spindle.rpc.mcp.server_log import ServerLog
from spindle.rpc.sse import EventSplitter, EventTooLong, payloads

if TYPE_CHECKING:
    import httpx

CLOSE_SECONDS: Final = 2.0
_PIECES_IN_A_ROW: Final = 64
"""Pieces that are read between two checkpoints: small pieces that have already arrived need no waiting."""


class UnreadableBody(Exception):
    """The rest of the body is not read; `str()` says why."""


class HttpBody:
    """The body of a response. Leaving the `async with` closes it."""

    def __init__(self, response: httpx.Response, server_log: ServerLog) -> None:
        self._response = response
        self._log = server_log
        self._chunks: AsyncIterator[bytes] = response.aiter_raw()
        self._events = response.headers.get("content-type", "").startswith("text/event-stream")
        self._splitter = EventSplitter(MESSAGE_BYTES)
        self._pieces = 0
        self._ended = False

    async def __aenter__(self) -> HttpBody:
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            await self._response.aclose()
            # httpx's body is nested generators; on a closed connection, one more step ends all of them.
            while await self._chunk():
                pass

    async def messages(self) -> list[Json]:
        """The next messages: those of an event stream as they arrive, or the single message of another body; [] at the end.

        An event that is not a message is logged. If it seems to answer a request, an error takes its place. Raises
        Unreadable; NoMessage if a body that is not an event stream is not a message.
        """
        encoding = self._response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise UnreadableBody(f"the answer has the content-encoding {encoding[:100]}, which was not asked for")
        found: list[Json] = []
        while not found and not self._ended:
            if self._events:
                chunk = await self._chunk()
                self._ended = not chunk
                try:
                    events = self._splitter.take(chunk) if chunk else self._splitter.rest()
                except EventTooLong as error:
                    raise UnreadableBody(str(error)) from error
                found_events = await apart(len(events), None, payloads, events)
            else:
                found_events = [await self._rest()]
                self._ended = True
            for payload in found_events:
                if payload:
                    found += await self._message(payload)
        return found

    async def start(self, limit: int) -> bytes:
        """The first bytes of the body, at most `limit`; b"" if it is compressed."""
        if "content-encoding" in self._response.headers:
            return b""
        return (await self._take(limit))[:limit]

    async def _message(self, payload: bytes) -> list[Json]:
        try:
            return [await apart(len(payload), None, decoded, payload)]
        except NoMessage as error:
            self._log.fault(str(error))
            if error.answers is not None:
                return [failure(error.answers, str(error))]
            if not self._events:
                raise
            return []

    async def _rest(self) -> bytes:
        whole = await self._take(MESSAGE_BYTES + 1)
        if len(whole) > MESSAGE_BYTES:
            raise UnreadableBody(f"the answer is longer than {MESSAGE_BYTES} bytes")
        return whole

    async def _take(self, enough: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < enough and (chunk := await self._chunk()):
            parts.append(chunk)
            size += len(chunk)
        return b"".join(parts)

    async def _chunk(self) -> bytes:
        """The next bytes; b"" at the end and after the connection broke."""
        import httpx

        self._pieces += 1
        if self._pieces % _PIECES_IN_A_ROW == 0:
            await trio.lowlevel.checkpoint()
        try:
            return await anext(self._chunks, b"")
        except httpx.HTTPError as error:
            self._log.log_line(f"an answer broke off: {error}")
        except httpx.StreamError:  # it is closed
            pass
        return b""
