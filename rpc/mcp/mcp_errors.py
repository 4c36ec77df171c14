"""Why something asked of an MCP server did not come about. `str()` is the sentence that the model and clients read."""

from __future__ import annotations

from typing import Final

from spindle.rpc.mcp.payload import as_json, as_text
from spindle.rpc.protocol.values import readable

_CHARACTERS: Final = 16_384


class McpError(Exception):
    """The base of the failures of a server; each is the server's, never ours.

    What the server says is part of it, so it is cut to 16,384 characters, and what drives a terminal is escaped.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(readable(reason, _CHARACTERS))


class ServerError(McpError):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: object, message: object, data: object = None) -> None:
        details = "" if data is None else f"({as_json(data, _CHARACTERS)})"
        super().__init__(f"Mcp error: {as_text(code, _CHARACTERS)}: {as_text(message, _CHARACTERS)}{details}")


class TransportClosed(McpError):
    """The server is gone: its process ended, or its connection did."""

    def __init__(self, reason: str = "Transport closed") -> None:
        super().__init__(reason)


class TooMuch(TransportClosed):
    """The server does what has no bound, and is not listened to any more."""


class TimedOut(McpError):
    """The server did not answer in time."""

    def __init__(self, method: str, seconds: float) -> None:
        super().__init__(f"timed out awaiting {method} after {duration(seconds)}")


class StartupFailed(McpError):
    """The server did not get ready."""


class BadAnswer(McpError):
    """The server answered with something the protocol does not allow."""

    def __init__(self, reason: str = "Unexpected response type") -> None:
        super().__init__(reason)


def duration(seconds: float) -> str:
    """A time as the reference writes it: `120s`, `1.5s`, `500ms`."""
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
