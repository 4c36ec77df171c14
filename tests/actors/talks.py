"""Clients that pipeline: each writes requests without waiting, and everything said and heard is one recorded history."""

from __future__ import annotations

from typing import Any

import orjson
import trio
from attrs import frozen

from spindle.actors.clients.connection import Connection

from .wires import Wire


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, error: Any) -> None:
        super().__init__(error["message"])
        self.code = error["code"]


@frozen
class Asked:
    """`client` has written a request."""

    client: int
    id: int
    method: str
    params: Any


@frozen
class Heard:
    """`client` has received a message."""

    client: int
    message: Any


class Talk:
    """One client. What it writes and receives is added to `history`; clients of one history are numbered."""

    def __init__(self, runtime: Any, history: list[Any], number: int = 0, cwd: str | None = None) -> None:
        self.wire, self.history, self.number = Wire(), history, number
        self.connection = Connection(runtime._backend, self.wire, cwd)
        self._asked = 0
        self._changed = trio.Event()
        self.ended = trio.Event()

    async def run(self) -> None:
        """Serve and listen until the client hangs up."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            await self.connection.run(lambda exited: None)
            while self.wire.messages.statistics().current_buffer_used:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        self.ended.set()

    async def _listen(self) -> None:
        async for message in self.wire.messages:
            self.history.append(Heard(self.number, message))
            self._changed.set()
            self._changed = trio.Event()

    def ask(self, method: str, **params: Any) -> int:
        """Write a request; returns its id."""
        self._asked += 1
        id = self._asked
        self.history.append(Asked(self.number, id, method, params))
        self.wire.requests.send_nowait(orjson.dumps({"id": id, "method": method, "params": params}))
        return id

    async def settled(self, id: int) -> Any:
        """The answer to a request as it was sent."""
        return await self.first(lambda message: message.get("id") == id and "method" not in message)

    async def answer(self, id: int) -> Any:
        """The result of a request; raises Refused."""
        message = await self.settled(id)
        if "error" in message:
            raise Refused(message["error"])
        return message["result"]

    async def call(self, method: str, **params: Any) -> Any:
        """Ask and wait for the result; raises Refused."""
        return await self.answer(self.ask(method, **params))

    async def wait_for(self, method: str, thread_id: str, times: int = 1) -> Any:
        """The params of the first (or second …) such notification of a thread."""
        seen = 0

        def wanted(message: Any) -> bool:
            nonlocal seen
            if message.get("method") == method and message["params"].get("threadId") == thread_id:
                seen += 1
            return seen == times

        return (await self.first(wanted))["params"]

    async def initialize(self) -> None:
        """The first request."""
        info = {"name": "talk", "version": "1"}
        await self.call("initialize", clientInfo=info, capabilities={"experimentalApi": True})

    def hang_up(self) -> None:
        """Close our end."""
        self.wire.requests.close()

    def notified(self, thread_id: str) -> list[str]:
        """The methods of a thread's notifications, in order."""
        return [
            entry.message["method"]
            for entry in self.history
            if isinstance(entry, Heard)
            and entry.client == self.number
            and entry.message.get("params", {}).get("threadId") == thread_id
        ]

    async def first(self, wanted: Any) -> Any:
        """The first message that is wanted."""
        at = 0
        while True:
            while at < len(self.history):
                entry, at = self.history[at], at + 1
                if isinstance(entry, Heard) and entry.client == self.number and wanted(entry.message):
                    return entry.message
            await self._changed.wait()
