"""MCP for a turn: the offers in a request, and the calls of the model."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from spindle.actors.tools.interface import Call, Output
from spindle.actors.tools.mcp.calls import call_tool
from spindle.actors.tools.mcp.host import CallHost
from spindle.actors.tools.mcp.resources import RESOURCE_TOOLS, call_resource_tool, resource_tools
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.mcp.payload import Json

RunCall: TypeAlias = Callable[[Call, CallHost], Coroutine[Any, Any, Output]]
"""Runs one call; returns the answer to the model, also for a failure. See `call_tool`."""


def functions(servers: McpServers) -> list[dict[str, Any]]:
    """The offers of the functions for resources; none if no server was started."""
    return resource_tools() if servers.all() else []


def namespaces(servers: McpServers) -> list[Json]:
    """The offers of the servers' tools, last in a request. Call it after `servers.settled()`."""
    return list(servers.offer().namespaces)


def find(servers: McpServers, namespace: str | None, name: str) -> RunCall | None:
    """The function that runs calls to `name` in `namespace`; None if it is not an MCP tool."""
    if namespace is None:
        if name not in RESOURCE_TOOLS or not servers.all():
            return None
        return lambda call, host: call_resource_tool(servers, name, call, host)
    tool = servers.offer().tools.get((namespace, name))
    return None if tool is None else lambda call, host: call_tool(servers, tool, call, host)


def side_by_side(servers: McpServers, namespace: str | None, name: str) -> bool:
    """Whether calls of a tool may run at the same time as others: as the server's configuration says."""
    return namespace is None or servers.offer().tools[namespace, name].server.config.parallel
