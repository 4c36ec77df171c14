"""The errors a request is answered with, and their JSON-RPC codes."""

from typing import Final

INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
OVERLOADED: Final = -32001


class Error(Exception):
    """Base of what the library raises on purpose to programs that use it."""


class RpcError(Error):
    """A request failed; the client is told `code`, `message` and, unless it is None, `data` (JSON or attrs objects)."""

    def __init__(self, code: int, message: str, data: object | None = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, object]:
        """The `error` member of the answer."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


class ThreadNotFound(RpcError):
    """No thread has this id, or none that is loaded where the request needs one."""

    def __init__(self, message: str) -> None:
        super().__init__(INVALID_REQUEST, message)


def invalid_request(message: str, data: object | None = None) -> RpcError:
    """What the client asked for is wrong or impossible now."""
    return RpcError(INVALID_REQUEST, message, data)


def internal_error(message: str) -> RpcError:
    """The server failed; the request may have been right."""
    return RpcError(INTERNAL_ERROR, message)


def overloaded() -> RpcError:
    """The server has no room for the request; nothing of it was done."""
    return RpcError(OVERLOADED, "Server overloaded; retry later.")
