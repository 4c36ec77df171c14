"""Log in to an MCP server over HTTP: the user authorizes in a browser, which comes back to a listener on loopback."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

import httpx
import trio

from spindle.actors.tools.mcp.authorization import ends_at
from spindle.rpc.lazy_class import frozen
from spindle.rpc.mcp.http_client import http_client
from spindle.rpc.mcp.oauth import (
    AuthorizationServer,
    OAuthError,
    Pkce,
    authorization_url,
    discover,
    exchange,
    register,
)
from spindle.rpc.mcp.oauth_callback import Callback
from spindle.rpc.urls import url_fault
from spindle.storage.config import McpServerConfig
from spindle.storage.mcp_tokens import McpTokens, McpTokenStore

SECONDS: Final = 300.0
"""How long to wait for the user, if the client does not say."""
Registration: TypeAlias = Literal["auto", "cimd", "dcr"]


@frozen(kw_only=True)
class CallbackPlace:
    """Where the browser comes back to: `port` of loopback (0: any), or a `url` that leads there."""

    port: int = 0
    url: str | None = None


async def log_in(
    config: McpServerConfig,
    store: McpTokenStore,
    begun: Callable[[str], None],
    *,
    place: CallbackPlace,
    scopes: Sequence[str] | None,
    registration: Registration,
    seconds: float,
) -> None:
    """Log in, and store the tokens. `begun` gets the page for the user's browser. Raises OAuthError, OSError.

    Cancelling it frees the port.
    """
    assert config.url is not None
    client = await trio.to_thread.run_sync(http_client)
    try:
        server = await discover(client, config.url)
        if server is None:
            raise OAuthError("the server offers no OAuth login")
        issuer = config.oauth.get("authorization_server_issuer")
        if issuer is not None and server.issuer != issuer:
            raise OAuthError("the authorization server is not the configured `oauth.authorization_server_issuer`")
        if registration == "cimd":
            raise OAuthError("MCP authorization server does not advertise CIMD with token endpoint auth method `none`")
        await _authorize(client, server, config, store, begun, place, _scopes(config, server, scopes), seconds)
    finally:
        with trio.CancelScope(shield=True):
            await client.aclose()


def _scopes(config: McpServerConfig, server: AuthorizationServer, asked: Sequence[str] | None) -> Sequence[str]:
    if asked is not None:
        return asked
    return server.scopes if config.scopes is None else config.scopes


async def _authorize(
    client: httpx.AsyncClient,
    server: AuthorizationServer,
    config: McpServerConfig,
    store: McpTokenStore,
    begun: Callable[[str], None],
    place: CallbackPlace,
    scopes: Sequence[str],
    seconds: float,
) -> None:
    state, pkce = secrets.token_urlsafe(24), Pkce()
    path = f"/callback/{secrets.token_urlsafe(9)}" if place.url is None else urlsplit(place.url).path or "/"
    if place.url is not None and (fault := url_fault(place.url)) is not None:
        raise OAuthError(f"mcp_oauth_callback_url: {fault}")
    callback = await Callback.open(place.port, path, state, server.issuer)
    try:
        redirect_uri = place.url or f"http://127.0.0.1:{callback.port}{path}"
        resource = config.oauth_resource or server.resource
        client_id = config.oauth.get("client_id") or await register(client, server, redirect_uri, scopes)
        begun(
            authorization_url(
                server,
                client_id=client_id,
                redirect_uri=redirect_uri,
                state=state,
                pkce=pkce,
                scopes=scopes,
                resource=resource,
            )
        )
        code = None
        with trio.move_on_after(seconds):
            code = await callback.code()
    finally:
        with trio.CancelScope(shield=True):
            await callback.aclose()
    if code is None:
        raise OAuthError("timed out waiting for OAuth callback")
    granted = await exchange(
        client, server, code=code, client_id=client_id, redirect_uri=redirect_uri, pkce=pkce, resource=resource
    )
    tokens = McpTokens(
        server_name=config.name,
        server_url=str(config.url),
        issuer=server.issuer,
        client_id=client_id,
        access_token=granted.access_token,
        expires_at=ends_at(granted.seconds),
        refresh_token=granted.refresh_token,
        scopes=tuple(scopes) if granted.scopes is None else granted.scopes,
    )
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(store.keep, tokens)
