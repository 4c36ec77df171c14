"""mcpServer/*, mcpServerStatus/list and config/mcpServer/reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ReloadServers, ToThread
from spindle.actors.thread.messages import AskServers
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.mcp import (
    ListMcpServerStatusParams,
    McpResourceReadParams,
    McpServerOauthLoginParams,
    McpServerRefreshResponse,
    McpServerToolCallParams,
)
from spindle.storage.config import Config, ConfigError

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.services.services import Services
    from spindle.actors.tools.mcp.servers import McpServers


def list_status(caller: Caller, params: ListMcpServerStatusParams, reply: Reply[Any]) -> None:
    """mcpServerStatus/list"""
    from spindle.actors.tools.mcp.opening import client_info
    from spindle.actors.tools.mcp.status import list_status

    services = caller.backend.services

    async def work() -> object:
        config = await _config(services)
        return await list_status(
            config.mcp_servers(), params, services.server_opening, client_info(services.version)
        )

    caller.later(reply, work)


def call_tool(caller: Caller, params: McpServerToolCallParams, reply: Reply[Any]) -> None:
    """mcpServer/tool/call"""

    async def work(servers: McpServers) -> object:
        from spindle.actors.tools.mcp.status import call_tool_directly

        return await call_tool_directly(servers, params)

    id = thread_id(params.thread_id)
    caller.backend.registry.route(ToThread(id, AskServers(reply=reply, work=work)))


def read_resource(caller: Caller, params: McpResourceReadParams, reply: Reply[Any]) -> None:
    """mcpServer/resource/read, by a thread's server or by one that is started for it"""
    from spindle.actors.tools.mcp.status import read_resource_of_thread, read_resource_without_thread

    async def by_thread(servers: McpServers) -> object:
        return await read_resource_of_thread(servers, params.server, params.uri)

    async def alone() -> object:
        from spindle.actors.tools.mcp.opening import client_info

        services = caller.backend.services
        configs = (await _config(services)).mcp_servers()
        opening, info = services.server_opening, client_info(services.version)
        return await read_resource_without_thread(configs, params.server, params.uri, opening, info)

    if params.thread_id is None:
        caller.later(reply, alone)
    else:
        id = thread_id(params.thread_id)
        caller.backend.registry.route(ToThread(id, AskServers(reply=reply, work=by_thread)))


def reload(caller: Caller, params: object, reply: Reply[Any]) -> None:
    """config/mcpServer/reload: loaded threads look at the configuration before their next turn."""

    async def work() -> object:
        await _config(caller.backend.services)  # or a mistake in it would only be seen by the turns
        caller.backend.registry.route(ReloadServers())
        return McpServerRefreshResponse()

    caller.later(reply, work)


def log_in(caller: Caller, params: McpServerOauthLoginParams, reply: Reply[Any]) -> None:
    """mcpServer/oauth/login: there is no OAuth here, and this says so."""

    async def work() -> object:
        server = (await _config(caller.backend.services)).mcp_servers().get(params.name)
        if server is None:
            raise invalid_request(f"No MCP server named '{params.name}' found.")
        if server.url is None:
            raise invalid_request("OAuth login is only supported for streamable HTTP servers.")
        raise internal_error(
            f"failed to login to MCP server '{params.name}': OAuth is not supported; give it a token by `bearer_token_env_var`"
        )

    caller.later(reply, work)


async def _config(services: Services) -> Config:
    try:
        return await trio.to_thread.run_sync(services.config.load, None, abandon_on_cancel=True)
    except (ConfigError, OSError) as error:
        raise internal_error(f"failed to load configuration: {error}") from error
