"""The errors of requests, and their JSON-RPC codes. It imports nothing: the first answer needs it."""

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
OVERLOADED = -32001


class Error(Exception):
    """The base of the errors that the library raises to programs."""


class RpcError(Error):
    """A request failed; the client receives `code`, `message` and, unless it is None, `data` (JSON or attrs objects)."""

    def __init__(self, code: int, message: str, data: object | None = None) -> None:
        super().__init__(code, message, data)
        self.code: int = code
        self.message: str = message
        self.data: object = data

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, object]:
        """The `error` member of the answer."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


class ThreadNotFound(RpcError):
    """No thread has this id, or none is loaded where the request needs a loaded one."""

    def __init__(self, message: str) -> None:
        super().__init__(INVALID_REQUEST, message)


def invalid_request(message: str, data: object | None = None) -> RpcError:
    """The request is invalid, or impossible now."""
    return RpcError(INVALID_REQUEST, message, data)


def internal_error(message: str) -> RpcError:
    """The server failed; the request may be valid."""
    return RpcError(INTERNAL_ERROR, message)


def overloaded() -> RpcError:
    """The server has no capacity for the request; no part of it was done."""
    return RpcError(OVERLOADED, "Server overloaded; retry later.")
