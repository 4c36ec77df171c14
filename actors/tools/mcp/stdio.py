"""A server on standard input and output: one message per line."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import orjson
import trio

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp.child import end_child, environment, start_child
from spindle.actors.tools.mcp.errors import StartupFailed, TransportClosed
from spindle.actors.tools.mcp.shapes import Json
from spindle.rpc.large import apart
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.values import loads
from spindle.rpc.transports.lines import LineTransport
from spindle.storage.config import McpServerConfig

log = logging.getLogger("spindle")

_MESSAGES_WAITING: Final = 64
_MESSAGE_BYTES: Final = 64 << 20
_SHOWN_BYTES: Final = 500


class StdioTransport:
    """Messages over a pair of streams. `run` writes; it has to be running for `send` to get anywhere."""

    def __init__(self, name: str, receive: trio.abc.ReceiveStream, send: trio.abc.SendStream) -> None:
        self._name = name
        self._lines = LineTransport(receive, send, max_message_bytes=_MESSAGE_BYTES)
        self._outgoing, self._waiting = trio.open_memory_channel[bytes](_MESSAGES_WAITING)

    async def run(self) -> None:
        """Write what is sent, whole messages, until cancelled or the server takes no more."""
        with self._waiting:
            try:
                async for message in self._waiting:
                    await self._lines.send([message])
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                log.debug("MCP server %s takes no more messages", self._name)

    async def send(self, message: Json) -> None:
        try:
            await self._outgoing.send(encode(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportClosed from error

    def post(self, message: Json) -> None:
        try:
            self._outgoing.send_nowait(encode(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.WouldBlock):
            log.debug("a message to MCP server %s was dropped", self._name)

    async def receive(self) -> Json | None:
        while True:
            try:
                line = await self._lines.receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if line is None:
                return None
            try:
                message: Any = await apart(len(line), None, loads, line)
            except orjson.JSONDecodeError:
                message = None
            if isinstance(message, dict):
                return cast("Json", message)
            log.warning("MCP server %s wrote what is no message: %s", self._name, line[:_SHOWN_BYTES])

    def settled(self, version: str) -> None:
        del version  # lines are lines in every version


@asynccontextmanager
async def open_stdio(
    config: McpServerConfig, cwd: str, environ: Mapping[str, str], warden: Warden
) -> AsyncGenerator[StdioTransport]:
    """Start the server's process and end it afterwards; `cwd` is where it runs unless it is configured otherwise.

    Raises StartupFailed where it cannot be run.
    """
    argv = [cast(str, config.command), *config.args]
    env = environment(environ, config.env_vars, config.env)
    async with warden.held():
        try:
            process = await start_child(warden, argv, config.cwd or cwd, env)
        except OSError as error:
            raise StartupFailed(f"{error.strerror or error} (os error {error.errno})") from error
        except ValueError as error:  # a null byte in an argument
            raise StartupFailed(str(error)) from error
        try:
            assert process.input is not None
            assert process.output is not None
            assert process.error is not None
            transport = StdioTransport(config.name, process.output, process.input)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.run)
                nursery.start_soon(_log_errors, config.name, process.error)
                yield transport
                nursery.cancel_scope.cancel()
        finally:
            await end_child(process)


async def _log_errors(name: str, stream: trio.abc.ReceiveStream) -> None:
    """What the server says on standard error goes to our log, where it is seen at level DEBUG; long lines are cut."""
    begun = b""
    try:
        while chunk := await stream.receive_some():
            *lines, last = chunk.split(b"\n")
            for line in lines:
                log.debug("MCP server %s: %s", name, (begun + line)[:_SHOWN_BYTES].decode("utf-8", "replace"))
                begun = b""
            begun = (begun + last)[:_SHOWN_BYTES]
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
