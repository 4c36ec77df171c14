"""The three functions for the model that list and read resources of servers."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import orjson
import trio

from spindle.actors.tools.interface import Call
from spindle.actors.tools.mcp.calls import ItemReporter
from spindle.actors.tools.mcp.host import CallHost
from spindle.actors.tools.mcp.results import CallOutcome
from spindle.actors.tools.mcp.server import Server
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.large import LARGE, apart
from spindle.rpc.lenient import mapping, objects
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.items import McpToolCallItem
from spindle.rpc.protocol.values import loads
from spindle.rpc.weighing import weigh

RESOURCE_TOOLS: Final = ("list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource")
_ALL_SERVERS: Final = "codex"
"""The server name in the item of a call to all servers, as in Codex."""


class _Refused(Exception):
    """The arguments are invalid. The text is for the model."""


def resource_tools() -> list[dict[str, Any]]:
    """The offers of the functions, for threads with a server."""
    server = {"type": "string", "description": "Name of an MCP server. Without it, all servers are asked."}
    cursor = {
        "type": "string",
        "description": "The nextCursor of an earlier answer of the same server, for its next page.",
    }
    return [
        _function(
            "list_mcp_resources",
            "Lists the resources that MCP servers share: files, schemas and other context. Look here before searching the web.",
            {"cursor": cursor, "server": server},
        ),
        _function(
            "list_mcp_resource_templates",
            "Lists the resource templates of MCP servers: resources whose URI takes parameters. "
            "Look here before searching the web.",
            {"cursor": cursor, "server": server},
        ),
        _function(
            "read_mcp_resource",
            "Reads one resource of an MCP server.",
            {
                "server": {"type": "string", "description": "Name of the MCP server, as a listing gives it."},
                "uri": {"type": "string", "description": "URI of the resource, as a listing gives it."},
            },
            ("server", "uri"),
        ),
    ]


async def call_resource_tool(servers: McpServers, name: str, call: Call, host: CallHost) -> str:
    """Run one of the functions (`RESOURCE_TOOLS`); returns the answer to the model, also for a failure."""
    try:
        given: Any = loads(call.payload) if call.payload.strip() else {}
        if not isinstance(given, dict):
            raise _Refused("expected an object")
        given = mapping(cast("object", given))
        work, server = _work(servers, name, given)
    except orjson.JSONDecodeError as error:
        return f"failed to parse function arguments: {error}"
    except _Refused as error:
        return f"failed to parse function arguments: {error}"
    reporter = ItemReporter(host, McpToolCallItem(call.id, server, name, "inProgress", given))
    async with reporter:
        try:
            found = await work()
            output = await apart(weigh(found, LARGE), None, _encoded, found)
            reporter.outcome = CallOutcome(result={"content": [{"type": "text", "text": output}]}, seconds=reporter.seconds)
        except McpError as error:
            output = str(error)
            reporter.outcome = CallOutcome(error=output, seconds=reporter.seconds)
    return output


def _encoded(value: object) -> str:
    return encode(value).decode()


async def list_resources(servers: Sequence[Server]) -> dict[str, list[Json]]:
    """The resources of each server that lists them, by its name."""
    return await _list_all(servers, "resources/list", "resources")


async def list_resource_templates(servers: Sequence[Server]) -> dict[str, list[Json]]:
    """The resource templates of each server that lists them, by its name."""
    return await _list_all(servers, "resources/templates/list", "resourceTemplates")


async def read_resource(server: Server, uri: str, meta: Json | None = None) -> Sequence[Json]:
    """The contents of a resource; `meta` is `_meta` of the request. Raises McpError."""
    params: Json = {"uri": uri} if not meta else {"_meta": meta, "uri": uri}
    try:
        result = await server.request("resources/read", params, timeout=server.config.tool_timeout)
    except McpError as error:
        raise McpError(f"resources/read failed for `{server.config.name}` ({uri}): {error}") from error
    return objects(result.get("contents"))


def _work(servers: McpServers, name: str, arguments: Json) -> tuple[Callable[[], Awaitable[object]], str]:
    server, cursor = _string(arguments, "server"), _string(arguments, "cursor")
    if name == "read_mcp_resource":
        uri = _string(arguments, "uri")
        if server is None or uri is None:
            raise _Refused(f"missing field `{'server' if server is None else 'uri'}`")
        return lambda: _read(servers, server, uri), server
    method, key = (
        ("resources/list", "resources")
        if name == "list_mcp_resources"
        else ("resources/templates/list", "resourceTemplates")
    )
    return lambda: _list(servers, method, key, server, cursor), server or _ALL_SERVERS


async def _read(servers: McpServers, name: str, uri: str) -> object:
    try:
        server = servers.get(name)
    except McpError as error:
        raise McpError(f"resources/read failed: {error}") from error
    return {"server": name, "uri": uri, "contents": await read_resource(server, uri)}


async def _list(servers: McpServers, method: str, key: str, name: str | None, cursor: str | None) -> object:
    if name is None:
        if cursor is not None:
            raise McpError("cursor can only be used when a server is specified")
        ready = [server for server in servers.all() if server.state == "ready"]
        found = await _list_all(ready, method, key)
        return {key: [{"server": server, **entry} for server, entries in sorted(found.items()) for entry in entries]}
    try:
        server = servers.get(name)
        params = {} if cursor is None else {"cursor": cursor}
        result = await server.request(method, params, timeout=server.config.tool_timeout)
    except McpError as error:
        raise McpError(f"{method} failed: {error}") from error
    page: dict[str, Any] = {"server": name, key: [{"server": name, **entry} for entry in objects(result.get(key))]}
    if result.get("nextCursor") is not None:
        page["nextCursor"] = result["nextCursor"]
    return page


async def _list_all(servers: Sequence[Server], method: str, key: str) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}

    async def list_one(server: Server) -> None:
        with contextlib.suppress(McpError):  # most servers have no resources and answer with an error
            found[server.config.name] = await server.pages(method, key)

    async with trio.open_nursery() as nursery:
        for server in servers:
            nursery.start_soon(list_one, server)
    return found


def _string(arguments: Json, key: str) -> str | None:
    """A string argument without white space around it; None if it is missing, null or blank."""
    value: object = arguments.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _Refused(f"invalid type for `{key}`, expected a string")
    return value.strip() or None


def _function(name: str, description: str, members: Json, required: Sequence[str] = ()) -> dict[str, Any]:
    parameters: dict[str, Any] = {"type": "object", "properties": members}
    if required:
        parameters["required"] = list(required)
    return {
        "type": "function",
        "name": name,
        "description": description,
        "strict": False,
        "parameters": parameters | {"additionalProperties": False},
    }
