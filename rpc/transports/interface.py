"""The interface of transports."""

from collections.abc import AsyncIterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

TransportKind = Literal["stdio", "websocket", "unix", "relay"]

MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
"""The longest message that a transport receives, in bytes. Messages may contain images."""


Received: TypeAlias = bytes | bytearray
"""A message; a long one is given in its receive buffer, without a copy."""


class Transport(Protocol):
    """Carries whole messages in both directions and does not look into them.

    One task may receive while others send. A cancelled `receive` has consumed nothing. A `send` that is cancelled after
    its first byte makes the transport unusable, because half a message cannot be undone.
    """

    @property
    def kind(self) -> TransportKind:
        """The kind of connection."""
        ...

    async def receive(self) -> Received | None:
        """The next message without its framing, or None after the peer closed its side.

        Raises trio.BrokenResourceError if the connection broke, trio.ClosedResourceError after `aclose`.
        """
        ...

    async def send(self, messages: Sequence[bytes]) -> None:
        """Write a batch of messages in one call; no message may contain a newline.

        Raises trio.BrokenResourceError if the peer has gone, trio.ClosedResourceError after `aclose`.
        """
        ...

    async def send_pieces(self, pieces: AsyncIterable[bytes]) -> None:
        """Write one message from pieces, with no other message in between. No piece is empty or splits a character.

        Raises as `send` does, and what `pieces` raises. After that the transport is unusable, as the message is cut
        off.
        """
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, with a close handshake in bounded time. Closing twice is allowed; a cancelled close
        skips the handshake.

        `code` and `reason` are those of a WebSocket's close frame (RFC 6455, section 7.4); other transports ignore
        them.
        """
        ...
