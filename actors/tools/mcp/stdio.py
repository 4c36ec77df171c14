"""A server on standard input and output: one message per line."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final, cast

import trio

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp.child import end_child, environment, start_child
from spindle.actors.tools.mcp.errors import StartupFailed, TooMuch, TransportClosed
from spindle.actors.tools.mcp.messages import MESSAGE_BYTES, NoMessage, decoded, failure
from spindle.actors.tools.mcp.server_log import ServerLog
from spindle.actors.tools.mcp.shapes import Json
from spindle.rpc.large import apart
from spindle.rpc.protocol.converter import encode
from spindle.rpc.transports.lines import LineTooLong, LineTransport
from spindle.storage.config import McpServerConfig

_MESSAGES_WAITING: Final = 64
_ERROR_BYTES: Final = 8 * 1024
_LINE_BYTES: Final = 500


class StdioTransport:
    """Messages over a pair of streams. `run` writes; it has to be running for `send` to get anywhere."""

    def __init__(self, name: str, receive: trio.abc.ReceiveStream, send: trio.abc.SendStream) -> None:
        self._log = ServerLog(name)
        self._lines = LineTransport(receive, send, max_message_bytes=MESSAGE_BYTES, skip_longer=False)
        self._outgoing, self._waiting = trio.open_memory_channel[bytes](_MESSAGES_WAITING)

    async def run(self) -> None:
        """Write what is sent, whole messages, until cancelled or the server takes no more."""
        with self._waiting:
            try:
                async for message in self._waiting:
                    await self._lines.send([message])
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._log.say("it takes no more messages")

    async def send(self, message: Json) -> None:
        try:
            await self._outgoing.send(encode(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportClosed from error

    def post(self, message: Json) -> None:
        try:
            self._outgoing.send_nowait(encode(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.WouldBlock):
            self._log.say("a message to it was dropped")

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
        del version  # lines are lines in every version


@asynccontextmanager
async def open_stdio(
    config: McpServerConfig, home: str, environ: Mapping[str, str], warden: Warden
) -> AsyncGenerator[StdioTransport]:
    """Start the server's process and end it afterwards; it starts in `home`, or in its own `cwd` as seen from there.

    Raises StartupFailed where it cannot be run.
    """
    argv = [cast(str, config.command), *config.args]
    env = environment(environ, config.env_vars, config.env)
    async with warden.held():
        try:
            folder = await trio.to_thread.run_sync(_folder, home, config.cwd)
            process = await start_child(warden, argv, folder, env)
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


def _folder(home: str, own: str | None) -> str:
    if own is not None:
        return os.path.join(home, own)
    return home if os.path.isdir(home) else "/"


async def _log_errors(name: str, stream: trio.abc.ReceiveStream) -> None:
    """What the server says on standard error goes to our log, where it is seen at level DEBUG; long lines are cut."""
    said = ServerLog(name)
    begun = b""
    try:
        while chunk := await stream.receive_some(_ERROR_BYTES):
            *lines, last = (begun + chunk).split(b"\n")
            said.say_all(lines)
            begun = bytes(last[:_LINE_BYTES])
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
