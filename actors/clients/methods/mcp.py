"""mcpServer/*, mcpServerStatus/list and config/mcpServer/reload."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ReloadServers, ToThread
from spindle.actors.thread.messages import AskServers
from spindle.rpc.protocol.errors import internal_error
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
    from spindle.actors.tools.mcp.status import Authenticated


def list_status(caller: Caller, params: ListMcpServerStatusParams, reply: Reply[Any]) -> None:
    """mcpServerStatus/list, of a thread's servers or of those that are started for it"""
    services = caller.backend.services

    async def alone() -> object:
        from spindle.actors.tools.mcp.opening import client_info
        from spindle.actors.tools.mcp.status import list_status

        configs = (await _config(services)).mcp_servers()
        return await list_status(
            configs, params, services.server_opening, client_info(services.version), _authenticated(services)
        )

    async def by_thread(servers: McpServers) -> object:
        from spindle.actors.tools.mcp.status import list_status_of_thread

        return await list_status_of_thread(servers, params, _authenticated(services))

    if params.thread_id is None:
        caller.later(reply, alone)
    else:
        id = thread_id(params.thread_id)
        caller.backend.registry.route(ToThread(id, AskServers(reply=reply, work=by_thread)))


def call_tool(caller: Caller, params: McpServerToolCallParams, reply: Reply[Any]) -> None:
    """mcpServer/tool/call"""

    async def work(servers: McpServers) -> object:
        from spindle.actors.tools.mcp.status import call_tool_directly

        return await call_tool_directly(servers, params)

    id = thread_id(params.thread_id)
    caller.backend.registry.route(ToThread(id, AskServers(reply=reply, work=work)))


def read_resource(caller: Caller, params: McpResourceReadParams, reply: Reply[Any]) -> None:
    """mcpServer/resource/read, by a thread's server or by one that is started for it"""
    from spindle.actors.tools.mcp.status import read_resource_of_thread, read_resource_without_thread, resource_meta

    resource_meta(params)  # refuses what is wrong in any case

    async def by_thread(servers: McpServers) -> object:
        return await read_resource_of_thread(servers, params)

    async def alone() -> object:
        from spindle.actors.tools.mcp.opening import client_info

        services = caller.backend.services
        configs = (await _config(services)).mcp_servers()
        opening, info = services.server_opening, client_info(services.version)
        return await read_resource_without_thread(configs, params, opening, info)

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
    """mcpServer/oauth/login: the answer is the page for the user's browser; a notification says how it ended"""
    from spindle.actors.clients.mcp_logins import McpLogins

    id = None if params.thread_id is None else thread_id(params.thread_id)
    caller.own(McpLogins).start(params, id, partial(_config, caller.backend.services), reply)


def _authenticated(services: Services) -> Authenticated:
    from spindle.actors.tools.mcp.authorization import authenticated

    return partial(authenticated, services.mcp_tokens, os.environ)


async def _config(services: Services) -> Config:
    try:
        return await trio.to_thread.run_sync(services.config.load, None, abandon_on_cancel=True)
    except (ConfigError, OSError) as error:
        raise internal_error(f"failed to load configuration: {error}") from error
