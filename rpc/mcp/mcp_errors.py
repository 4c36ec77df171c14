"""Why a request to an MCP server failed. `str()` is the sentence that the model and clients read."""

from __future__ import annotations

from typing import Final

from spindle.rpc.mcp.payload import as_json, as_text
from spindle.rpc.protocol.values import readable

_CHARACTERS: Final = 16_384


class McpError(Exception):
    """The base of all failures of an MCP server.

    The text may contain what the server sent, so it is cut to 16,384 characters and control characters are escaped.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(readable(reason, _CHARACTERS))


class ServerError(McpError):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: object, message: object, data: object = None) -> None:
        details = "" if data is None else f"({as_json(data, _CHARACTERS)})"
        super().__init__(f"Mcp error: {as_text(code, _CHARACTERS)}: {as_text(message, _CHARACTERS)}{details}")


class TransportClosed(McpError):
    """The server's process or connection ended."""

    def __init__(self, reason: str = "Transport closed") -> None:
        super().__init__(reason)


class TooMuch(TransportClosed):
    """The server exceeded a bound. Its connection is not read any more."""


class TimedOut(McpError):
    """The server did not answer in time."""

    def __init__(self, method: str, seconds: float) -> None:
        super().__init__(f"timed out awaiting {method} after {duration(seconds)}")


class StartupFailed(McpError):
    """The server could not be started."""


class LoginRequired(McpError):
    """The server wants an OAuth login: the first one, or another one (`again`)."""

    def __init__(self, name: str, *, again: bool = False) -> None:
        super().__init__("OAuth authorization required" if again else "Auth required")
        self.again = again
        what = "requires OAuth reauthentication" if again else "is not logged in"
        self.sentence = f"The {name} MCP server {what}. Log in with `mcpServer/oauth/login`, or run `codex mcp login {name}`."


class BadAnswer(McpError):
    """The answer violates the protocol."""

    def __init__(self, reason: str = "Unexpected response type") -> None:
        super().__init__(reason)


def duration(seconds: float) -> str:
    """A time in the format of the reference server: `120s`, `1.5s`, `500ms`."""
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
