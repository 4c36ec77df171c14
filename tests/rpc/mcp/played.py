"""An MCP server in memory, controlled by the test line by line."""

import orjson
from trio.testing import memory_stream_pair

from spindle.rpc.mcp.stdio import StdioTransport

ECHO = {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
WRITE = {"name": "write", "description": "writes", "inputSchema": {"type": "object"}}
READY = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {}}


class Played:
    """The server's end of a connection."""

    def __init__(self, name="tiny"):
        ours, theirs = memory_stream_pair()
        self.stream = theirs
        self.transport = StdioTransport(name, ours, ours)
        self._buffer = b""

    async def receive(self):
        """The next message of the client; None at the end."""
        while b"\n" not in self._buffer:
            chunk = await self.stream.receive_some()
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return orjson.loads(line)

    async def say(self, **message):
        await self.write(orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n")

    async def write(self, data):
        await self.stream.send_all(data)

    async def answer(self, method, result):
        """Answer the next message, which must be a request of `method`; returns it."""
        request = await self.receive()
        assert request["method"] == method
        await self.say(id=request["id"], result=result)
        return request

    async def get_ready(self, *tools, **changes):
        await self.answer("initialize", READY | changes)
        assert (await self.receive())["method"] == "notifications/initialized"
        await self.answer("tools/list", {"tools": list(tools)})

    async def end(self):
        await self.stream.aclose()
