"""One client of a runtime, over a transport in memory."""

import json

import pytest
import trio
from tests.actors.wires import Wire

from spindle.actors.clients.connection import Connection
from spindle.actors.services import watches


class Client:
    """What a client sends and gets; `notes` are the messages that are no answer that it waited for."""

    def __init__(self, wire, backend):
        self.wire, self.backend, self.services = wire, backend, backend.services
        self.notes, self._id = [], 0

    def ask(self, method, **params):
        self._id += 1
        self.wire.requests.send_nowait(json.dumps({"id": self._id, "method": method, "params": params}).encode())
        return self._id

    async def call(self, method, **params):
        id = self.ask(method, **params)
        while True:
            message = await self.wire.messages.receive()
            if message.get("id") == id:
                return message.get("result", message.get("error"))
            self.notes.append(message)

    async def notification(self, method):
        while True:
            for note in self.notes:
                if note.get("method") == method:
                    self.notes.remove(note)
                    return note["params"]
            self.notes.append(await self.wire.messages.receive())


@pytest.fixture
async def client(opened, monkeypatch):
    """A client with the experimental capability. Changes of files are reported to it at once."""
    monkeypatch.setattr(watches, "TOGETHER", 0)
    monkeypatch.setattr(watches, "BETWEEN", 0.01)
    async with opened() as runtime, trio.open_nursery() as nursery:
        wire = Wire()
        nursery.start_soon(Connection(runtime._backend, wire).run, lambda exited: None)
        client = Client(wire, runtime._backend)
        await client.call(
            "initialize", clientInfo={"name": "n", "version": "1"}, capabilities={"experimentalApi": True}
        )
        yield client
        nursery.cancel_scope.cancel()
