"""A transport in memory: what a connection under test is served on, and the other end of it in the hands of the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Sequence
from typing import Any

import trio

from spindle.rpc.transports import TransportKind


class Wire:
    """`requests` takes lines for the connection; `messages` gives what it sends, decoded."""

    def __init__(self, kind: TransportKind = "websocket") -> None:
        self.kind: TransportKind = kind
        self.requests, self._incoming = trio.open_memory_channel[bytes](100_000)
        self._outgoing, self.messages = trio.open_memory_channel[Any](1_000_000)

    async def receive(self) -> bytes | None:
        try:
            return await self._incoming.receive()
        except trio.EndOfChannel:
            return None

    async def send(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self._outgoing.send_nowait(json.loads(message))

    async def send_pieces(self, pieces: AsyncIterable[bytes]) -> None:
        self._outgoing.send_nowait(json.loads(b"".join([piece async for piece in pieces])))

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        pass
