"""What carries messages to a server and back."""

from __future__ import annotations

from typing import Protocol

from spindle.rpc.mcp.payload import Json


class Transport(Protocol):
    """Messages both ways, for one session. Whoever opened it closes it."""

    async def send(self, message: Json) -> None:
        """Hand over one message. Cancelling it never cuts a message in two. Raises TransportClosed."""

    def post(self, message: Json) -> None:
        """Hand over one message without waiting; it is dropped where there is no room or nobody to take it."""

    async def receive(self) -> Json | None:
        """The next message of the server, None when there will be no more. What is no message is left out.

        Raises TooMuch where the server says what has no bound.
        """
        ...

    def settled(self, version: str) -> None:
        """The handshake is over; `version` of the protocol is spoken from here on."""
