"""The client's side of a WebSocket, byte by byte."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from .client import DEADLINE, Json


class WebSocket:
    """The part of RFC 6455 that the daemon uses. """

    def __init__(self, connection: socket.socket, headers: Sequence[str] = ()) -> None:
        self.socket = connection
        connection.settimeout(DEADLINE)
        self._in = connection.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        self.status = int(self._in.readline().split()[1])
        while self._in.readline().strip():
            pass

    def write(self, messages: Sequence[bytes]) -> None:
        self.socket.sendall(b"".join(_frame(0x1, message) for message in messages))

    def read(self) -> Iterator[bytes]:
        message = b""
        while len(head := self._in.read(2)) == 2:
            length = head[1]
            if length == 126:
                (length,) = struct.unpack("!H", self._in.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._in.read(8))
            payload = self._in.read(length)
            if head[0] & 0xF in (0x0, 0x1):
                message += payload
                if head[0] & 0x80:
                    yield message
                    message = b""
            elif head[0] & 0xF == 0x8:
                with contextlib.suppress(OSError):  # the other side may be gone
                    self.socket.sendall(_frame(0x8, payload))
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)  # reading ends when the daemon closes the connection

    def dispose(self) -> None:
        self._in.close()
        self.socket.close()


def _frame(opcode: int, payload: bytes) -> bytes:
    mask, size = os.urandom(4), len(payload)
    first = 0x80 | opcode
    head = struct.pack("!BB", first, 0x80 | size) if size < 126 else struct.pack("!BBH", first, 0xFE, size)
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class SocketClient:
    """An initialized client at a Unix socket, which reads only while it waits."""

    def __init__(self, path: str) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        self.wire = WebSocket(connection)
        self.messages = self._decoded()
        self._last = 0
        self.call("initialize", clientInfo={"name": "benchmark", "version": "1"})

    def _decoded(self) -> Iterator[Json]:
        for message in self.wire.read():
            yield json.loads(message)

    def call(self, method: str, **params: object) -> Json:
        """Ask, and wait for the result."""
        self._last += 1
        self.wire.write([json.dumps({"id": self._last, "method": method, "params": params}).encode()])
        answer = next(message for message in self.messages if message.get("id") == self._last and "method" not in message)
        if "result" not in answer:
            raise SystemExit(f"{method}: {answer}")
        result: Json = answer["result"]
        return result

    def run_turn(self, thread: str) -> None:
        """Run a turn to its end."""
        turn = self.call("turn/start", threadId=thread, input=[{"type": "text", "text": "hello"}])["turn"]["id"]
        for message in self.messages:
            if message.get("method") == "turn/completed" and message["params"]["turn"]["id"] == turn:
                return
