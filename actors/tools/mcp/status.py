"""Requests of clients about servers: their status and lists, a resource, a tool call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import trio

from spindle.actors.tools.mcp.resources import list_resource_templates, list_resources, read_resource
from spindle.actors.tools.mcp.server import Opener, Server
from spindle.actors.tools.mcp.servers import McpServers, UnknownServer
from spindle.rpc.lenient import sequence, text, text_or_none
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.mcp import (
    ListMcpServerStatusParams,
    ListMcpServerStatusResponse,
    McpAuthStatus,
    McpResourceReadParams,
    McpResourceReadResponse,
    McpServerConnectionStatus,
    McpServerInfo,
    McpServerStatus,
    McpServerToolCallParams,
    McpServerToolCallResponse,
)
from spindle.rpc.protocol.pages import page_of
from spindle.storage.config import McpServerConfig

Configs = Mapping[str, McpServerConfig]
Authenticated: TypeAlias = Callable[[McpServerConfig, Server | None], Awaitable[McpAuthStatus]]
"""How a server is authenticated. The server is the running one, if there is one."""

_RUNTIME: Final[Mapping[str, McpServerConnectionStatus]] = {
    "starting": "starting",
    "ready": "connected",
    "failed": "failed",
    "cancelled": "cancelled",
}
_RESERVED: Final = ("threadId", "progressToken", "x-codex-turn-metadata")
"""Keys of `_meta` that a client may not set for a resource."""


async def list_status(
    configs: Configs,
    params: ListMcpServerStatusParams,
    open_transport: Opener,
    client_info: Json,
    authenticated: Authenticated,
) -> ListMcpServerStatusResponse:
    """mcpServerStatus/list: start the servers of the requested page, list what they offer, and end them.

    A server that fails to start has empty lists. Raises RpcError for an invalid cursor.
    """
    page, cursor = _page(configs, params)
    async with _running([config for config in page if config.enabled], open_transport, client_info) as servers:
        by_name = {server.config.name: server for server in servers}
        return ListMcpServerStatusResponse(await _statuses(page, params, by_name, authenticated, None), cursor)


async def list_status_of_thread(
    servers: McpServers, params: ListMcpServerStatusParams, authenticated: Authenticated
) -> ListMcpServerStatusResponse:
    """mcpServerStatus/list with a thread: what its servers offer, when those of the page have started or failed."""
    page, cursor = _page(servers.configured, params)
    by_name: dict[str, Server] = {}
    for config in page:
        server = servers.find(config.name)
        if server is not None and server.config == config:
            await server.started.wait()
            by_name[config.name] = server
    return ListMcpServerStatusResponse(await _statuses(page, params, by_name, authenticated, _runtime), cursor)


def _page(configs: Configs, params: ListMcpServerStatusParams) -> tuple[list[McpServerConfig], str | None]:
    """The servers of the requested page, and the cursor of the next one."""
    if params.environment_id is not None and (params.server_name is None or params.thread_id is None):
        raise invalid_request("environmentId requires serverName and threadId")
    names = sorted(
        name
        for name, config in configs.items()
        if params.server_name in (None, name) and config.is_in(params.environment_id)
    )
    shown, cursor = page_of(names, params.cursor, params.limit, "MCP servers")
    return [configs[name] for name in shown], cursor


async def _statuses(
    page: Sequence[McpServerConfig],
    params: ListMcpServerStatusParams,
    servers: Mapping[str, Server],
    authenticated: Authenticated,
    runtime: Callable[[McpServerConfig, Server | None], McpServerConnectionStatus | None] | None,
) -> list[McpServerStatus]:
    ready = [server for server in servers.values() if server.state == "ready"]
    resources, templates = dict[str, list[Json]](), dict[str, list[Json]]()
    if params.detail != "toolsAndAuthOnly":
        resources, templates = await list_resources(ready), await list_resource_templates(ready)
    found: dict[str, McpServerStatus] = {}

    async def one(config: McpServerConfig) -> None:
        server = servers.get(config.name)
        usable = server if server is not None and server.state == "ready" else None
        found[config.name] = McpServerStatus(
            name=config.name,
            environment_id=config.environment_id,
            runtime_status=None if runtime is None else runtime(config, server),
            plugin_id=config.plugin_id,
            http_origin=_origin(config.url),
            server_info=None if usable is None else _info(usable.info),
            server_capabilities=None if usable is None else usable.capabilities,
            tool_list_meta=None if usable is None else usable.tool_list_meta,
            tools={} if usable is None else {str(tool["name"]): tool for tool in usable.tools},
            tools_error=None if server is None or server.reason is None else f"MCP startup failed: {server.reason}",
            resources=resources.get(config.name, ()),
            resource_templates=templates.get(config.name, ()),
            auth_status=await authenticated(config, server),
        )

    async with trio.open_nursery() as nursery:
        for config in page:
            nursery.start_soon(one, config)
    return [found[config.name] for config in page]


def _runtime(config: McpServerConfig, server: Server | None) -> McpServerConnectionStatus | None:
    if not config.enabled:
        return "disabled"
    if server is None:
        return None
    if server.login is not None:
        return "authenticationRequired"
    return _RUNTIME[server.state] if server.state != "ready" or server.alive else "failed"


def _info(given: Json) -> McpServerInfo | None:
    if not given:
        return None
    icons = given.get("icons")
    return McpServerInfo(
        name=text(given.get("name")),
        title=text_or_none(given.get("title")),
        version=text(given.get("version")),
        description=text_or_none(given.get("description")),
        icons=None if icons is None else sequence(icons),
        website_url=text_or_none(given.get("websiteUrl")),
    )


def _origin(url: str | None) -> str | None:
    """The origin of a server's URL, without what may be a secret."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else None


async def read_resource_of_thread(servers: McpServers, params: McpResourceReadParams) -> McpResourceReadResponse:
    """mcpServer/resource/read with a thread. Raises RpcError."""
    try:
        found = servers.get(params.server, params.environment_id)
        await found.started.wait()
        return McpResourceReadResponse(await read_resource(found, params.uri, resource_meta(params)))
    except McpError as error:
        raise internal_error(str(error)) from error


async def read_resource_without_thread(
    configs: Configs, params: McpResourceReadParams, open_transport: Opener, client_info: Json
) -> McpResourceReadResponse:
    """mcpServer/resource/read without a thread: starts the server for the request. Raises RpcError."""
    config = configs.get(params.server)
    if config is None or not config.enabled or not config.is_in(params.environment_id):
        raise internal_error(str(UnknownServer(params.server, params.environment_id)))
    async with _running([config], open_transport, client_info) as (only,):
        try:
            contents, failure = await read_resource(only, params.uri, resource_meta(params)), None
        except McpError as error:
            contents, failure = (), only.error or str(error)
    if failure is not None:
        raise internal_error(failure)
    return McpResourceReadResponse(contents)


def resource_meta(params: McpResourceReadParams) -> Json:
    """`_meta` of a request for a resource. Raises RpcError for parameters of hosted apps, and for reserved keys."""
    if params.target is not None:
        raise invalid_request("target requires unscoped codex_apps, a connectorId, and a real linkId or null")
    if params.origin_call_id is not None and params.thread_id is None:
        raise invalid_request("originCallId requires threadId")
    meta = dict(params.meta or {})
    reserved = next((key for key in _RESERVED if key in meta), None)
    if reserved is not None:
        raise invalid_request(f"reserved resource read metadata key: {reserved}")
    if params.connector_id is not None:
        chosen = {"selected_connector_ids": [params.connector_id]}
        meta["x-codex-turn-metadata"] = {"mcp_request_meta": chosen}
    return meta


async def call_tool_directly(servers: McpServers, params: McpServerToolCallParams) -> McpServerToolCallResponse:
    """mcpServer/tool/call: without an item or an approval, because the client itself calls. Raises RpcError."""
    try:
        server = servers.get(params.server, params.environment_id)
        await server.started.wait()
        meta = params.meta
        if meta is not None and not isinstance(meta, dict):
            raise _failed(params, f"MCP tool request _meta must be a JSON object, got {encode(meta).decode()}")
        sent: dict[str, Any] = {**cast("dict[str, Any]", meta or {}), "threadId": params.thread_id}
        try:
            result = await server.call_tool(params.tool, params.arguments, sent, servers.ask)
        except McpError as error:
            raise _failed(params, str(error)) from error
    except McpError as error:
        raise internal_error(str(error)) from error
    is_error = result.get("isError")
    return McpServerToolCallResponse(
        content=result["content"],
        structured_content=result.get("structuredContent"),
        is_error=is_error if isinstance(is_error, bool) else None,
        meta=result.get("_meta"),
    )


@asynccontextmanager
async def _running(
    configs: Sequence[McpServerConfig], open_transport: Opener, client_info: Json
) -> AsyncGenerator[list[Server]]:
    """Servers for the block; all have started or failed when it begins."""
    servers = [Server(config, open_transport, client_info) for config in configs]
    async with trio.open_nursery() as nursery:
        for server in servers:
            nursery.start_soon(server.run)
        for server in servers:
            await server.started.wait()
        yield servers
        nursery.cancel_scope.cancel()


def _failed(params: McpServerToolCallParams, reason: str) -> McpError:
    return McpError(f"tool call failed for `{params.server}/{params.tool}`: {reason}")
