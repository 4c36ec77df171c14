"""The logins to MCP servers that a client has begun. They end with its connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ReloadServers
from spindle.actors.tools.mcp.login import SECONDS, CallbackPlace, log_in
from spindle.actors.tools.mcp.servers import in_environment
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.protocol.errors import RpcError, ThreadNotFound, internal_error, invalid_request, overloaded
from spindle.rpc.protocol.mcp import (
    McpServerOauthLoginCompletedNotification,
    McpServerOauthLoginParams,
    McpServerOauthLoginResponse,
)
from spindle.storage.config import Config, McpServerConfig

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

AT_ONCE: Final = 16
"""The logins of one client that may be under way."""
LONGEST: Final = 24 * 60 * 60
"""The most seconds that a login waits for the user."""


class McpLogins:
    """The logins of one connection."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._under_way = 0

    def start(
        self,
        params: McpServerOauthLoginParams,
        thread_id: str | None,
        load: Callable[[], Awaitable[Config]],
        reply: Reply[Any],
    ) -> None:
        """Begin a login. `load` gives the configuration for a login without a thread. Raises RpcError."""
        if self._under_way >= AT_ONCE:
            raise overloaded()
        self._under_way += 1
        self._caller.start(f"the login to MCP server {params.name}", self._run, params, thread_id, load, reply)

    async def _run(
        self,
        params: McpServerOauthLoginParams,
        thread_id: str | None,
        load: Callable[[], Awaitable[Config]],
        reply: Reply[Any],
    ) -> None:
        try:
            await self._log_in(params, thread_id, load, reply)
        finally:
            self._under_way -= 1

    async def _log_in(
        self,
        params: McpServerOauthLoginParams,
        thread_id: str | None,
        load: Callable[[], Awaitable[Config]],
        reply: Reply[Any],
    ) -> None:
        id, begun = str(uuid7()), False

        def answer(url: str) -> None:
            nonlocal begun
            begun = True
            reply.resolve(McpServerOauthLoginResponse(url, id))

        services = self._caller.backend.services
        failure: str | None = None
        try:
            config = await self._config(thread_id, load)
            server = _server(config, params)
            if config.mcp_oauth_credentials_store == "keyring":
                raise McpError('`mcp_oauth_credentials_store = "keyring"` is not supported; use "file"')
            port, url = config.mcp_oauth_callback
            place = CallbackPlace(port=server.oauth.get("callback_port", port), url=server.oauth.get("callback_url", url))
            seconds = SECONDS if params.timeout_secs is None else float(min(max(params.timeout_secs, 1), LONGEST))
            await log_in(
                server,
                services.mcp_tokens,
                answer,
                place=place,
                scopes=params.scopes,
                registration=params.client_registration or "auto",
                seconds=seconds,
            )
        except RpcError as error:
            reply.reject(error)
            return
        except (McpError, OSError) as error:
            failure = str(error)
            if not begun:
                reply.reject(internal_error(f"failed to login to MCP server '{params.name}': {failure}"))
                return
        if failure is None:
            self._caller.backend.registry.route(ReloadServers())
        services.audience.announce(
            McpServerOauthLoginCompletedNotification(
                name=params.name, thread_id=thread_id, login_id=id, success=failure is None, error=failure
            )
        )

    async def _config(self, thread_id: str | None, load: Callable[[], Awaitable[Config]]) -> Config:
        if thread_id is None:
            return await load()
        state = await self._caller.backend.registry.look(thread_id)
        if state is None:
            raise ThreadNotFound(f"thread not found: {thread_id}")
        return state.config


def _server(config: Config, params: McpServerOauthLoginParams) -> McpServerConfig:
    server = config.mcp_servers().get(params.name)
    if server is None or not server.is_in(params.environment_id):
        raise invalid_request(f"No MCP server named '{in_environment(params.name, params.environment_id)}' found.")
    if server.url is None:
        raise invalid_request("OAuth login is only supported for streamable HTTP servers.")
    return server
