"""The interface of a transport."""

from __future__ import annotations

from typing import Protocol

from spindle.rpc.mcp.payload import Json


class McpTransport(Protocol):
    """Messages in both directions, for one session. Its opener closes it."""

    pid: int | None
    """The server's process; None for a server that is no child."""

    async def send(self, message: Json) -> None:
        """Send one message. Cancelling never cuts a message in two. Raises TransportClosed."""

    def post(self, message: Json) -> None:
        """Send one message without waiting; it is dropped if the queue is full or the server has gone."""

    async def receive(self) -> Json | None:
        """The next message from the server, None at the end. Data that is not a message is skipped.

        Raises TooMuch if the server exceeds a bound.
        """
        ...

    def settled(self, version: str) -> None:
        """The handshake is over, and both sides speak this `version` of the protocol."""
