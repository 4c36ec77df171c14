"""The stdio transport: one message per line."""

from __future__ import annotations

from typing import Final

import trio

from spindle.rpc.large import apart
from spindle.rpc.mcp.mcp_errors import TooMuch, TransportClosed
from spindle.rpc.mcp.messages import MESSAGE_BYTES, NoMessage, decoded, failure
from spindle.rpc.mcp.payload import Json
from spindle.rpc.mcp.server_log import ServerLog
from spindle.rpc.protocol.converter import encode
from spindle.rpc.transports.lines import LineTooLong, LineTransport

_MESSAGES_WAITING: Final = 64


class StdioTransport:
    """Messages over a pair of streams. `run` does the writing, so it must be running for `send` to work."""

    def __init__(
        self, name: str, receive: trio.abc.ReceiveStream, send: trio.abc.SendStream, pid: int | None = None
    ) -> None:
        self.pid = pid
        self._log = ServerLog(name)
        self._lines = LineTransport(receive, send, max_message_bytes=MESSAGE_BYTES, skip_longer=False)
        self._outgoing, self._waiting = trio.open_memory_channel[bytes](_MESSAGES_WAITING)

    async def run(self) -> None:
        """Write sent messages, each whole, until cancelled or until the server closes its input."""
        with self._waiting:
            try:
                async for message in self._waiting:
                    await self._lines.send([message])
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._log.log_line("its input is closed")

    async def send(self, message: Json) -> None:
        try:
            await self._outgoing.send(encode(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportClosed from error

    def post(self, message: Json) -> None:
        try:
            self._outgoing.send_nowait(encode(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.WouldBlock):
            self._log.log_line("a message to it was dropped")

    async def receive(self) -> Json | None:
        while True:
            try:
                line = await self._lines.receive()
            except LineTooLong as error:
                self._log.fault(str(error))
                raise TooMuch(f"the server wrote {error}") from error
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if line is None:
                return None
            try:
                return await apart(len(line), None, decoded, line)
            except NoMessage as error:
                self._log.fault(str(error))
                if error.answers is not None:
                    return failure(error.answers, str(error))

    def settled(self, version: str) -> None:
        del version  # the framing is the same in every version
