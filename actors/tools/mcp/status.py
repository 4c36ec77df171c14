"""Requests of clients about servers: their status and lists, a resource, a tool call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import trio

from spindle.actors.tools.mcp.resources import list_resource_templates, list_resources, read_resource
from spindle.actors.tools.mcp.server import Opener, Server
from spindle.actors.tools.mcp.servers import McpServers, UnknownServer
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.mcp import (
    ListMcpServerStatusParams,
    ListMcpServerStatusResponse,
    McpAuthStatus,
    McpResourceReadResponse,
    McpServerStatus,
    McpServerToolCallParams,
    McpServerToolCallResponse,
)
from spindle.rpc.protocol.pages import page_of
from spindle.storage.config import McpServerConfig

Configs = Mapping[str, McpServerConfig]


async def list_status(
    configs: Configs, params: ListMcpServerStatusParams, open_transport: Opener, client_info: Json
) -> ListMcpServerStatusResponse:
    """mcpServerStatus/list: start the servers of the requested page, list what they offer, and end them.

    A server that fails to start has empty lists. Raises RpcError for an invalid cursor.
    """
    names = sorted(name for name in configs if params.server_name in (None, name))
    shown, cursor = page_of(names, params.cursor, params.limit, "MCP servers")
    page = [configs[name] for name in shown]
    async with _running([config for config in page if config.enabled], open_transport, client_info) as servers:
        ready = [server for server in servers if server.state == "ready"]
        resources, templates = dict[str, list[Json]](), dict[str, list[Json]]()
        if params.detail != "toolsAndAuthOnly":
            resources, templates = await list_resources(ready), await list_resource_templates(ready)
        tools = {server.config.name: {str(tool["name"]): tool for tool in server.tools} for server in ready}
    data = [
        McpServerStatus(
            name=config.name,
            tools=tools.get(config.name, {}),
            resources=resources.get(config.name, ()),
            resource_templates=templates.get(config.name, ()),
            auth_status=_auth(config),
        )
        for config in page
    ]
    return ListMcpServerStatusResponse(data, cursor)


async def read_resource_of_thread(servers: McpServers, server: str, uri: str) -> McpResourceReadResponse:
    """mcpServer/resource/read with a thread. Raises RpcError."""
    try:
        found = servers.get(server)
        await found.started.wait()
        return McpResourceReadResponse(await read_resource(found, uri))
    except McpError as error:
        raise internal_error(str(error)) from error


async def read_resource_without_thread(
    configs: Configs, server: str, uri: str, open_transport: Opener, client_info: Json
) -> McpResourceReadResponse:
    """mcpServer/resource/read without a thread: starts the server for the request. Raises RpcError."""
    config = configs.get(server)
    if config is None or not config.enabled:
        raise internal_error(str(UnknownServer(server)))
    async with _running([config], open_transport, client_info) as (only,):
        try:
            contents, failure = await read_resource(only, uri), None
        except McpError as error:
            contents, failure = (), only.error or str(error)
    if failure is not None:
        raise internal_error(failure)
    return McpResourceReadResponse(contents)


async def call_tool_directly(servers: McpServers, params: McpServerToolCallParams) -> McpServerToolCallResponse:
    """mcpServer/tool/call: without an item or an approval, because the client itself calls. Raises RpcError."""
    try:
        server = servers.get(params.server)
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


def _auth(config: McpServerConfig) -> McpAuthStatus:
    return "bearerToken" if config.bearer_token_env_var is not None else "unsupported"


def _failed(params: McpServerToolCallParams, reason: str) -> McpError:
    return McpError(f"tool call failed for `{params.server}/{params.tool}`: {reason}")
