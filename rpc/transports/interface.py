"""What every transport offers to the JSON-RPC peer above it."""

from collections.abc import AsyncIterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

TransportKind = Literal["stdio", "websocket", "unix"]

MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
"""The longest message a transport takes in, in bytes. Pictures travel inside messages, so this is generous."""


Received: TypeAlias = bytes | bytearray
"""A long message is handed over in what it was gathered in."""


class Transport(Protocol):
    """Whole messages in both directions; what is inside of them is not its concern.

    One task may receive while others send. A `receive` that is cancelled has consumed nothing. A `send` that is
    cancelled after the first byte may have gone leaves the transport unusable, since a half message cannot be taken
    back.
    """

    @property
    def kind(self) -> TransportKind:
        """By which road the client came."""
        ...

    async def receive(self) -> Received | None:
        """The next message without its framing, or None when the peer has said that it is done.

        Raises trio.BrokenResourceError when the peer vanished, trio.ClosedResourceError after `aclose`.
        """
        ...

    async def send(self, messages: Sequence[bytes]) -> None:
        """Write a batch of messages at once; none of them may contain a newline.

        Raises trio.BrokenResourceError when the peer is gone, trio.ClosedResourceError after `aclose`.
        """
        ...

    async def send_pieces(self, pieces: AsyncIterable[bytes]) -> None:
        """Write one message as its pieces come, which are not empty and divide no character; no other comes between.

        Raises as `send` does, and what `pieces` raises: then the transport is unusable, as the message is cut off.
        """
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, in bounded time, and close. Closing twice is fine; a cancelled close skips the goodbye.

        `code` and `reason` are those of a WebSocket's close frame (RFC 6455, section 7.4); others ignore them.
        """
        ...
