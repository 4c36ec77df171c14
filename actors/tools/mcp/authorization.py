"""The OAuth tokens of a running server: read from the home, refreshed when they expire, and stored again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final

import trio
from attrs import evolve

from spindle.actors.tools.mcp.server import Server
from spindle.rpc.lazy_class import frozen
from spindle.rpc.mcp.http_client import http_client
from spindle.rpc.mcp.mcp_errors import LoginRequired, McpError
from spindle.rpc.mcp.oauth import Granted, OAuthError, TokenRefused, discover, refresh
from spindle.rpc.protocol.mcp import McpAuthStatus
from spindle.storage.config import McpServerConfig
from spindle.storage.mcp_tokens import McpTokens, McpTokenStore

LOCK_SECONDS: Final = 60.0
"""How long to wait while another process refreshes the same tokens."""
LOCK_PAUSE: Final = 0.1
EARLY_SECONDS: Final = 30.0
"""How long before its end an access token is refreshed."""


def uses_oauth(config: McpServerConfig, environ: Mapping[str, str]) -> bool:
    """Whether a server over HTTP gets its authorization from a login and not from the configuration."""
    named = (*config.http_headers, *(name for name, var in config.env_http_headers.items() if environ.get(var)))
    return (
        config.url is not None
        and config.bearer_token_env_var is None
        and all(name.lower() != "authorization" for name in named)
    )


@frozen
class Authorization:
    """The tokens of one server, as its transport asks for them."""

    _name: str
    _url: str
    _store: McpTokenStore
    _resource: str | None = None
    """The configured name of the server in requests for tokens."""

    async def token(self) -> str | None:
        """A valid access token; None without a login. Raises LoginRequired if the login has ended, McpError."""
        tokens = await self._read()
        if tokens is None:
            return None
        if tokens.usable(time.time() + EARLY_SECONDS):
            return tokens.access_token
        return await self._renewed(tokens)

    async def renewed(self, refused: str) -> str | None:
        """Another access token than one that the server has refused; None without a login.

        Raises LoginRequired, McpError.
        """
        tokens = await self._read()
        if tokens is None or tokens.access_token != refused:
            return None if tokens is None else tokens.access_token
        return await self._renewed(tokens)

    async def _read(self) -> McpTokens | None:
        try:
            return await trio.to_thread.run_sync(self._store.read, self._name, self._url, abandon_on_cancel=True)
        except OSError as error:
            raise McpError(f"the tokens of MCP server '{self._name}' cannot be read: {error}") from error

    async def _renewed(self, old: McpTokens) -> str:
        """The token of a refresh, which only one process makes."""
        lock = await self._locked()
        try:
            tokens = await self._read()
            if tokens is not None and tokens.access_token != old.access_token and tokens.usable(time.time()):
                return tokens.access_token  # another process was quicker
            return await self._refresh(tokens or old)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lock.__exit__, None, None, None)

    async def _locked(self) -> AbstractContextManager[None]:
        """The lock of the refresh, once it is held."""
        end = trio.current_time() + LOCK_SECONDS
        while True:
            lock = self._store.refreshing(self._name, self._url)
            try:
                await trio.to_thread.run_sync(lock.__enter__)
                return lock
            except OSError as error:
                if not isinstance(error, TimeoutError) or trio.current_time() >= end:
                    raise McpError(f"the tokens of MCP server '{self._name}' cannot be refreshed: {error}") from error
            await trio.sleep(LOCK_PAUSE)

    async def _refresh(self, tokens: McpTokens) -> str:
        if tokens.refresh_token is None:
            raise LoginRequired(self._name, again=True)
        client = await trio.to_thread.run_sync(http_client)
        try:
            server = await discover(client, self._url)
            if server is None or (tokens.issuer is not None and server.issuer != tokens.issuer):
                # a refresh token is for the server that gave it
                raise LoginRequired(self._name, again=True)
            # A cancelled request could use the refresh token up, and lose the new one. It has a deadline.
            with trio.CancelScope(shield=True):
                granted = await refresh(
                    client,
                    server,
                    refresh_token=tokens.refresh_token,
                    client_id=tokens.client_id,
                    scopes=tokens.scopes,
                    resource=self._resource or server.resource,
                )
                tokens = _with(tokens, granted)
                await self._keep(tokens)
            return tokens.access_token
        except TokenRefused as error:
            await self._keep(evolve(tokens, refresh_token=None))
            raise LoginRequired(self._name, again=True) from error
        except OAuthError as error:
            raise McpError(f"the tokens of MCP server '{self._name}' were not refreshed: {error}") from error
        finally:
            with trio.CancelScope(shield=True):
                await client.aclose()

    async def _keep(self, tokens: McpTokens) -> None:
        """Store tokens. The former ones may be invalid already, so this is not cancelled."""
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._store.keep, tokens)
        except OSError as error:
            raise McpError(f"the tokens of MCP server '{self._name}' cannot be stored: {error}") from error


def _with(tokens: McpTokens, granted: Granted) -> McpTokens:
    return evolve(
        tokens,
        access_token=granted.access_token,
        expires_at=ends_at(granted.seconds),
        refresh_token=granted.refresh_token or tokens.refresh_token,
        scopes=tokens.scopes if granted.scopes is None else granted.scopes,
    )


async def authenticated(
    store: McpTokenStore, environ: Mapping[str, str], config: McpServerConfig, server: Server | None
) -> McpAuthStatus:
    """How a server is authenticated. One that runs without a login is asked whether it offers one."""
    if config.url is None:
        return "unsupported"
    if not uses_oauth(config, environ):
        return "bearerToken"
    if server is not None and server.login is not None:
        return "notLoggedIn"
    try:
        tokens = await trio.to_thread.run_sync(store.read, config.name, config.url, abandon_on_cancel=True)
        if tokens is not None and (tokens.refresh_token is not None or tokens.usable(time.time())):
            return "oAuth"
        if server is None or server.state != "ready":
            return "unsupported"
        client = await trio.to_thread.run_sync(http_client)
        try:
            return "unsupported" if await discover(client, config.url) is None else "notLoggedIn"
        finally:
            with trio.CancelScope(shield=True):
                await client.aclose()
    except (OAuthError, OSError):
        return "unsupported"


def ends_at(seconds: float | None) -> int | None:
    """When a token that is valid for so long ends, in Unix milliseconds."""
    return None if seconds is None else int((time.time() + seconds) * 1000)
