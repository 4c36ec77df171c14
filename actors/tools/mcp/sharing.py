"""Servers that serve all threads of a runtime: `shared = true` in their configuration.

A shared server is started with the first thread that uses it and ends with the last. It must not care which thread a call
comes from (`_meta.threadId` says so).
"""

from __future__ import annotations

import trio
from attrs import define

from spindle.actors.tasks.boundary import start_apart
from spindle.actors.tools.mcp.server import Asker, Opener, Server
from spindle.rpc.mcp.payload import Json
from spindle.storage.config import McpServerConfig


@define(eq=False)
class _Shared:
    server: Server
    scope: trio.CancelScope
    users: int = 0


class SharedServers:
    """The shared servers of a runtime, running in its nursery."""

    def __init__(self, nursery: trio.Nursery, open_transport: Opener, client_info: Json) -> None:
        self._nursery = nursery
        self._open = open_transport
        self._client_info = client_info
        self._running: list[_Shared] = []

    def take(self, config: McpServerConfig, asker: Asker) -> Server:
        """The server for `config`, started if there is none alive; each `take` needs its `leave`."""
        shared = next((one for one in self._running if one.server.config == config and one.server.alive), None)
        if shared is None:
            shared = _Shared(Server(config, self._open, self._client_info), trio.CancelScope())
            self._running.append(shared)
            start_apart(self._nursery, f"the shared MCP server {config.name}", self._run, shared)
        shared.users += 1
        shared.server.askers.append(asker)
        return shared.server

    def leave(self, server: Server, asker: Asker) -> None:
        """One thread needs it no longer; with the last one it ends."""
        shared = next(one for one in self._running if one.server is server)
        server.askers.remove(asker)
        shared.users -= 1
        if not shared.users:
            self._running.remove(shared)
            shared.scope.cancel()

    async def _run(self, shared: _Shared) -> None:
        with shared.scope:
            await shared.server.run()
