"""Servers in memory or on loopback, played by the test; a thread and a turn that record what they receive."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from tests.rpc.mcp.played import Played

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp.opening import ServerOpener
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.mcp.mcp_errors import StartupFailed
from spindle.rpc.protocol.settings import ReadOnlyPolicy
from spindle.storage.config import McpServerConfig


class PlayedOpener:
    """Opens played servers; `opened` returns each. A server named in `broken` cannot start."""

    def __init__(self):
        self.broken = {}
        self.running = 0
        self.started = 0
        self._send, self._opened = trio.open_memory_channel(100)

    @asynccontextmanager
    async def __call__(self, config):
        if config.name in self.broken:
            raise StartupFailed(self.broken[config.name])
        played = Played(config.name)
        self.running += 1
        self.started += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(played.transport.run)
                self._send.send_nowait(played)
                yield played.transport
                nursery.cancel_scope.cancel()
        finally:
            self.running -= 1

    async def opened(self):
        return await self._opened.receive()


@attrs.define
class Host:
    """A thread and its turn; `answers` are given to requests in order, then it waits for ever."""

    thread_id: str = "thread-1"
    turn_id: str = "turn-1"
    approval_policy: Any = "on-request"
    sandbox_policy: Any = attrs.Factory(ReadOnlyPolicy)
    answers: list[Any] = attrs.Factory(list)
    emitted: list[Any] = attrs.Factory(list)
    recorded: list[Any] = attrs.Factory(list)
    asked: list[Any] = attrs.Factory(list)
    thinks: float = 0.0
    """How long the user takes for an answer, in seconds."""
    always: list[Any] = attrs.Factory(list)
    permitted: Any = None
    """The answer of PermissionRequest hooks."""
    reports: list[Any] = attrs.Factory(list)
    trace: dict[str, str] = attrs.Factory(dict)

    def emit(self, notification):
        self.emitted.append(notification)

    async def keep(self, *entries):
        self.recorded += entries

    async def ask(self, question, about=None):
        self.asked.append(question)
        if not self.answers:
            await trio.sleep_forever()
        await trio.sleep(self.thinks)
        return self.answers.pop(0)

    async def review(self, action):
        return None

    async def permission(self):
        return self.permitted

    def carrier(self):
        return self.trace

    def report(self, result):
        self.reports.append(result)

    async def allow_always(self, server, tool):
        self.always.append((server.name, tool))

    def statuses(self):
        return [(e.name, e.status) for e in self.emitted if e.METHOD == "mcpServer/startupStatus/updated"]

    def items(self):
        return [(e.METHOD, e.item) for e in self.emitted if e.METHOD.startswith("item/") and hasattr(e, "item")]


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def opener():
    return PlayedOpener()


@pytest.fixture
def played():
    return Played()


@pytest.fixture
def tiny():
    """tiny(habit="", **settings) -> the configuration of a real server."""

    def make(habit="", name="tiny", **settings):
        script = str(Path(__file__).with_name("tiny_server.py"))
        args = ("-S", "-E", script, *([habit] if habit else []))
        return McpServerConfig(name=name, command=sys.executable, args=args, **settings)

    return make


@pytest.fixture
async def web(nursery):
    from tests.rpc.mcp.web_server import WebServer

    server = WebServer()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.port = listener.socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, server.serve, [listener])
    return server


@pytest.fixture
def start(nursery, host, web):
    """start(**settings) -> the thread's server, once it has started or failed."""

    async def begin(environ=None, **settings):
        servers = McpServers(nursery, host, ServerOpener("/", environ or {}, Warden()), {"name": "spindle"})
        servers.configure({"web": McpServerConfig(name="web", **({"url": web.url} | settings))})
        await servers.settled()
        return servers.all()[0]

    return begin
