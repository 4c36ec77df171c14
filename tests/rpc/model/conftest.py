"""A scripted HTTP server on loopback, in the test's own trio run."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import attrs
import h11
import orjson
import pytest
import trio

from spindle.rpc.model.interface import Model, ModelRequest

Step = bytes | trio.Event | None
"""Bytes are sent unchanged, an event is waited for, None closes the connection."""


@attrs.define
class Received:
    """One request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@attrs.define
class ScriptedServer:
    """Answers each request with the next entry of `script`; after the last one, a request closes the connection."""

    port: int = 0
    script: list[Iterable[Step]] = attrs.Factory(list)
    received: list[Received] = attrs.Factory(list)
    connections: int = 0
    closed: int = 0
    """Connections that have ended."""
    clients: list[Model] = attrs.Factory(list)
    """Closed when the test is over."""
    hang_up: trio.Event = attrs.Factory(trio.Event)
    """Set when a client has closed a connection."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        number = self.connections
        try:
            async with stream:
                while await self._exchange(stream, number):
                    pass
        except trio.BrokenResourceError:
            pass
        self.closed += 1
        self.hang_up.set()

    async def _exchange(self, stream: trio.SocketStream, number: int) -> bool:
        parser = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                break
            else:
                return False
        headers = {name.decode(): value.decode() for name, value in head.headers}
        self.received.append(Received(head.method.decode(), head.target.decode(), headers, bytes(body), number))
        if not self.script:
            return False
        for step in self.script.pop(0):
            if step is None:
                return False
            if isinstance(step, trio.Event):
                await step.wait()
            else:
                await stream.send_all(step)
        return True


@pytest.fixture
async def server(nursery: trio.Nursery) -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    scripted.port = listener.socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, scripted.handle, [listener])
    yield scripted
    for client in scripted.clients:
        await client.aclose()


@pytest.fixture
def make_request() -> Callable[..., ModelRequest]:
    """make_request(**changes) -> a request with these attributes."""
    request = ModelRequest(
        model="mock-model",
        instructions="Be \u201chelpful\u201d.",
        input=[b'{"type":"message","role":"user","content":[]}', b'{"n":1}'],
        tools=[{"type": "function", "name": "f"}],
        parallel_tool_calls=False,
        reasoning=None,
        include=[],
        service_tier=None,
        text=None,
        prompt_cache_key="thread-1",
        client_metadata={"k": "v"},
        thread_id="thread-1",
        turn_id="turn-1",
        originator="harness",
        user_agent="harness/1.0 (test)",
    )

    def changed(**changes: Any) -> ModelRequest:
        return attrs.evolve(request, **changes)

    return changed
