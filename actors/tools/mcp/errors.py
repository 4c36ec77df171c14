"""Why something asked of an MCP server did not come about. `str()` is the sentence that the model and clients read."""

from __future__ import annotations

from spindle.rpc.protocol.converter import encode


class McpError(Exception):
    """The base of the failures of a server; each is the server's, never ours."""


class ServerError(McpError):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: object, message: object, data: object = None) -> None:
        details = "" if data is None else f"({encode(data).decode()})"
        super().__init__(f"Mcp error: {code}: {message}{details}")


class TransportClosed(McpError):
    """The server is gone: its process ended, or its connection did."""

    def __init__(self, reason: str = "Transport closed") -> None:
        super().__init__(reason)


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


class UnknownServer(McpError):
    """No server of that name is there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown MCP server '{name}'")


def duration(seconds: float) -> str:
    """A time as the reference writes it: `120s`, `1.5s`, `500ms`."""
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
