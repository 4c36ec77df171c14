"""MCP as a turn uses it: what goes into a request, and running what the model calls."""

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
"""Runs one call and returns what the model reads of it; failures are told, not raised. See `call_tool`."""


def functions(servers: McpServers) -> list[dict[str, Any]]:
    """The functions for resources; none where no server was started."""
    return resource_tools() if servers.all() else []


def namespaces(servers: McpServers) -> list[Json]:
    """The servers' own tools, which stand last in a request. Call it once `servers.settled()` has returned."""
    return list(servers.offer().namespaces)


def find(servers: McpServers, namespace: str | None, name: str) -> RunCall | None:
    """What runs a call of the model to `name` in `namespace`; None if that is no tool of ours."""
    if namespace is None:
        if name not in RESOURCE_TOOLS or not servers.all():
            return None
        return lambda call, host: call_resource_tool(servers, name, call, host)
    tool = servers.offer().tools.get((namespace, name))
    return None if tool is None else lambda call, host: call_tool(servers, tool, call, host)


def side_by_side(servers: McpServers, namespace: str | None, name: str) -> bool:
    """Whether a tool that `find` has found may run beside others: those of a server may if its configuration says so."""
    return namespace is None or servers.offer().tools[namespace, name].server.config.parallel
