"""mcpServerStatus/list."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.mailbox import Reply
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.mcp import ListMcpServerStatusParams
from spindle.storage.config import ConfigError

if TYPE_CHECKING:
    from spindle.actors.connection import Connection


def list_status(connection: Connection, params: ListMcpServerStatusParams, reply: Reply[Any]) -> None:
    """mcpServerStatus/list"""
    from spindle.actors.tools.mcp.opening import Opening, client_info
    from spindle.actors.tools.mcp.status import list_status

    services = connection.runtime.services

    async def work() -> object:
        try:
            config = await trio.to_thread.run_sync(services.config.load, None)
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to load configuration: {error}") from error
        opening = Opening(services.cwd, os.environ)
        return await list_status(config.mcp_servers(), params, opening, client_info(services.version))

    connection.later(reply, work)
