"""The servers of one thread, and the servers that the threads of a runtime share.

A shared server (`shared = true` in its configuration) starts with the first thread that uses it and ends with the last. It
must not depend on which thread calls (`_meta.threadId` says so).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import trio
from attrs import define, field

from spindle.actors.tools.interface import BackgroundTasks
from spindle.actors.tools.mcp.approval import foreign, may_elicit, shown
from spindle.actors.tools.mcp.host import Elicitation, McpHost
from spindle.actors.tools.mcp.offers import Offer, offer
from spindle.actors.tools.mcp.server import DECLINED, Asker, Opener, Server
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.mcp import (
    McpFormElicitationParams,
    McpServerStartupState,
    McpServerStatusUpdatedNotification,
    McpUrlElicitationParams,
)
from spindle.storage.config import McpServerConfig


class UnknownServer(McpError):
    """No server with that name is running."""

    def __init__(self, name: str, environment_id: str | None = None) -> None:
        super().__init__(f"unknown MCP server '{in_environment(name, environment_id)}'")


def in_environment(name: str, environment_id: str | None) -> str:
    """A server's name in errors, for a client that names an environment."""
    return name if environment_id is None else f"{name} (environment {environment_id})"


@define(eq=False)
class _Shared:
    server: Server
    scope: trio.CancelScope
    users: int = 0


class SharedServers:
    """The shared servers of a runtime; they run in its `tasks`."""

    def __init__(self, tasks: BackgroundTasks, open_transport: Opener, client_info: Json) -> None:
        self._tasks = tasks
        self._open = open_transport
        self._client_info = client_info
        self._running: list[_Shared] = []

    def take(self, config: McpServerConfig, asker: Asker) -> Server:
        """The server for `config`, started if none is alive. Each `take` needs a `leave`."""
        shared = next((one for one in self._running if one.server.config == config and one.server.alive), None)
        if shared is None:
            shared = _Shared(Server(config, self._open, self._client_info), trio.CancelScope())
            self._running.append(shared)
            self._tasks.start_soon(self._run, shared, name=f"the shared MCP server {config.name}")
        shared.users += 1
        shared.server.askers.append(asker)
        return shared.server

    def leave(self, server: Server, asker: Asker) -> None:
        """Release a server; the last release ends it."""
        shared = next(one for one in self._running if one.server is server)
        server.askers.remove(asker)
        shared.users -= 1
        if not shared.users:
            self._running.remove(shared)
            shared.scope.cancel()

    async def _run(self, shared: _Shared) -> None:
        with shared.scope:
            await shared.server.run()


@define(eq=False)
class _Used:
    server: Server
    lent: bool = False
    """Whether it runs in the thread of the parent."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    announced: trio.Event = field(factory=trio.Event)
    """Set when clients were notified that it started or failed."""


class McpServers:
    """The servers of one thread. They run in `tasks` and end with them.

    An agent uses the servers of its parent (`parents`) that have the same configuration. `allowed` are the (server, tool) pairs
    that the user allowed while the thread is loaded.
    """

    def __init__(
        self,
        tasks: BackgroundTasks,
        host: McpHost,
        open_transport: Opener,
        client_info: Json,
        shared: SharedServers | None = None,
        parents: Callable[[], McpServers | None] = lambda: None,
    ) -> None:
        self.allowed: set[tuple[str, str]] = set()
        self.configured: Mapping[str, McpServerConfig] = {}
        """The servers of the latest configuration, with disabled ones."""
        self._tasks = tasks
        self._host = host
        self._open = open_transport
        self._client_info = client_info
        self._shared = shared
        self._parents = parents
        self._used: dict[str, _Used] = {}
        self._offer: tuple[object, Offer] | None = None

    def configure(self, configs: Mapping[str, McpServerConfig]) -> None:
        """Start enabled servers that do not run; end servers whose configuration was removed or changed.

        Call it when the thread starts, and before the first turn after a reload. Returns at once.
        """
        self.configured = configs
        wanted = {name: config for name, config in configs.items() if config.enabled}
        for name, used in list(self._used.items()):
            if wanted.get(name) != used.server.config or not used.server.alive:
                del self._used[name]
                used.scope.cancel()
        for name, config in wanted.items():
            if name not in self._used:
                self._start(name, config)

    def lend(self, config: McpServerConfig) -> Server | None:
        """The server for `config`, for an agent, also if it failed to start; None if there is none."""
        used = self._used.get(config.name)
        if used is None or used.server.config != config:
            return None
        return used.server if used.server.alive or used.server.state == "failed" else None

    def replace_lent(self) -> None:
        """Before a turn of an agent: start the servers that its parent no longer lends."""
        parents = self._parents()
        for name, used in list(self._used.items()):
            if used.lent and (parents is None or parents.lend(used.server.config) is not used.server):
                used.scope.cancel()
                self._start(name, used.server.config)

    async def settled(self, grace: float | None = None) -> None:
        """Wait until no server is starting; each has its own deadline. `grace` bounds the wait for those that are optional."""
        starting = list(self._used.values())
        for used in starting:
            if used.server.config.required or grace is None:
                await used.announced.wait()
        if grace is not None:
            with trio.move_on_after(grace):
                for used in starting:
                    await used.announced.wait()

    def failed_required(self) -> str | None:
        """The error for required servers that failed; None if none did."""
        failures = [
            f"{name}: {used.server.reason}"
            for name, used in self._used.items()
            if used.server.config.required and used.server.state == "failed"
        ]
        return f"required MCP servers failed to initialize: {'; '.join(failures)}" if failures else None

    def all(self) -> Sequence[Server]:
        """All servers that were started, sorted by name, also failed ones."""
        return [used.server for _, used in sorted(self._used.items())]

    def get(self, name: str, environment_id: str | None = None) -> Server:
        """The server `name`. Raises UnknownServer, also if it failed to start."""
        used = self._used.get(name)
        if used is None or used.server.state not in ("starting", "ready") or not used.server.config.is_in(environment_id):
            raise UnknownServer(name, environment_id)
        return used.server

    def find(self, name: str) -> Server | None:
        """The server that was started under this name, in whatever state; None if there is none."""
        used = self._used.get(name)
        return None if used is None else used.server

    def offer(self) -> Offer:
        """The current offer to the model."""
        ready = [server for server in self.all() if server.state == "ready"]
        state = [(server, server.revision) for server in ready]
        if self._offer is None or self._offer[0] != state:
            self._offer = state, offer(ready)
        return self._offer[1]

    async def ask(self, server: str, params: Json) -> Json:
        """Ask the user on behalf of a server: `params` of elicitation/create in, its result out."""
        if not may_elicit(self._host.approval_policy):
            return DECLINED
        asked = self._question(server, params)
        answer = None if asked is None else await self._host.ask(asked)
        if answer is None:
            return DECLINED
        result: dict[str, Any] = {"action": answer.action}
        if answer.action == "accept":
            if isinstance(asked, McpFormElicitationParams) or answer.content is not None:
                result["content"] = {} if answer.content is None else answer.content
            if answer.meta is not None:
                result["_meta"] = answer.meta
        return result

    def _question(self, server: str, params: Json) -> Elicitation | None:
        thread_id, turn_id = self._host.thread_id, self._host.turn_id
        message = shown(params.get("message", ""))
        if params.get("mode", "form") == "form":
            schema: object = params.get("requestedSchema")
            return McpFormElicitationParams(
                thread_id=thread_id,
                turn_id=turn_id,
                server_name=server,
                meta=foreign(params.get("_meta")),
                message=message,
                requested_schema=cast("Json", schema)
                if isinstance(schema, dict)
                else {"type": "object", "properties": {}},
            )
        url, elicitation = params.get("url"), params.get("elicitationId")
        if not isinstance(url, str) or not isinstance(elicitation, str):
            return None
        return McpUrlElicitationParams(
            thread_id=thread_id,
            turn_id=turn_id,
            server_name=server,
            meta=foreign(params.get("_meta")),
            message=message,
            url=url,
            elicitation_id=elicitation,
        )

    def _start(self, name: str, config: McpServerConfig) -> None:
        is_shared = config.shared and self._shared is not None
        parents = None if is_shared else self._parents()
        server = None if parents is None else parents.lend(config)
        used = self._used[name] = _Used(server or self._made(config), lent=server is not None)
        self._tasks.start_soon(self._run, used, is_shared)

    def _made(self, config: McpServerConfig) -> Server:
        if config.shared and self._shared is not None:
            return self._shared.take(config, self.ask)
        server = Server(config, self._open, self._client_info)
        server.askers.append(self.ask)
        return server

    async def _run(self, used: _Used, is_shared: bool) -> None:
        server = used.server
        self._notify(server, "starting")
        try:
            with used.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._announce, used)
                    if is_shared or used.lent:
                        await trio.sleep_forever()
                    await server.run()
        finally:
            used.announced.set()
            if is_shared and self._shared is not None:
                self._shared.leave(server, self.ask)
        if server.state == "cancelled":
            self._notify(server)

    async def _announce(self, used: _Used) -> None:
        server = used.server
        await server.started.wait()
        if server.state != "cancelled":
            self._notify(server)
        used.announced.set()

    def _notify(self, server: Server, state: McpServerStartupState | None = None) -> None:
        self._host.emit(
            McpServerStatusUpdatedNotification(
                server.config.name,
                state or server.state,
                None if state else server.error,
                thread_id=self._host.thread_id,
                environment_id=server.config.environment_id,
                failure_reason="reauthenticationRequired" if server.login == "again" and not state else None,
            )
        )
