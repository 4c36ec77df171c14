"""Open a transport to a configured server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from spindle.rpc.lazy_class import frozen
from spindle.rpc.mcp.mcp_errors import StartupFailed
from spindle.rpc.mcp.payload import Json
from spindle.rpc.mcp.transport import McpTransport
from spindle.storage.config import McpServerConfig

if TYPE_CHECKING:
    from spindle.actors.tools.commands.process import Warden
    from spindle.storage.mcp_tokens import McpTokenStore


def client_info(version: str) -> Json:
    """The `clientInfo` for servers."""
    return {"name": "spindle-mcp-client", "title": "Spindle", "version": version}


@frozen
class ServerOpener:
    """Opens servers as children of the runtime's `warden`, in the Codex `home`.

    Never in the working directory of a thread, where `python -m`, `npx` and relative commands would run its files. A server's
    variables and tokens come from `environ`.
    """

    home: str
    environ: Mapping[str, str]
    warden: Warden
    tokens: McpTokenStore | None = None
    """The tokens of logins to servers over HTTP."""

    @asynccontextmanager
    async def __call__(self, config: McpServerConfig) -> AsyncGenerator[McpTransport]:
        """A transport to the server for the block. Raises StartupFailed on entry."""
        pinned = config.pinned
        if pinned is not None:
            # commands may have changed the project since the configuration was read
            reason = await trio.to_thread.run_sync(pinned.changed, self.home, abandon_on_cancel=True)
            if reason is not None:
                raise StartupFailed(reason)
        async with self._open(config) as transport:
            yield transport

    def _open(self, config: McpServerConfig) -> AbstractAsyncContextManager[McpTransport]:
        if config.url is not None and config.command is None:
            from spindle.rpc.mcp.streamable_http import open_http

            tokens = None
            if self.tokens is not None:
                from spindle.actors.tools.mcp.authorization import Authorization, uses_oauth

                if uses_oauth(config, self.environ):
                    tokens = Authorization(config.name, config.url, self.tokens, config.oauth_resource)
            return open_http(config.name, config.url, http_headers(config, self.environ), tokens)
        from spindle.actors.tools.mcp.server_process import open_stdio

        return open_stdio(config, self.home, self.environ, self.warden)


def http_headers(config: McpServerConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """The configured HTTP headers, with variables and the token from `environ`.

    Raises StartupFailed if the variable of the token is not set.
    """
    headers = dict(config.http_headers)
    headers |= {name: environ[var] for name, var in config.env_http_headers.items() if environ.get(var)}
    if (variable := config.bearer_token_env_var) is not None:
        if not (token := environ.get(variable)):
            raise StartupFailed(f"Environment variable {variable} for MCP server '{config.name}' is not set")
        headers["authorization"] = f"Bearer {token}"
    return headers
