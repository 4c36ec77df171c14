"""The client's side of OAuth for MCP servers over HTTP: discovery, registration, authorization with PKCE, tokens.

RFC 9728 finds the authorization server of an MCP server, RFC 8414 its endpoints, RFC 7591 registers the client, and RFC 8707
names the server that a token is for. No error and no log line has a token or a code in it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import orjson
import trio
from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping, sequence, text_or_none
from spindle.rpc.mcp.http_body import HttpBody
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.mcp.server_log import ServerLog
from spindle.rpc.protocol.values import loads, one_line
from spindle.rpc.urls import shown, url_fault

if TYPE_CHECKING:
    import httpx

CLIENT_NAME: Final = "Spindle"
REQUEST_SECONDS: Final = 10.0
"""The most seconds for one request."""
DISCOVERY_SECONDS: Final = 20.0
"""The most seconds to find an authorization server."""
_BODY: Final = 256 * 1024
"""The most bytes of an answer."""
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_CHALLENGE: Final = re.compile(r'resource_metadata\s*=\s*(?:"([^"]*)"|([^\s,]+))', re.IGNORECASE)
_PROTECTED: Final = "/.well-known/oauth-protected-resource"
_SERVER: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_SHOWN: Final = 300


class OAuthError(McpError):
    """A login or a refresh failed."""


class TokenRefused(OAuthError):
    """The authorization server does not accept the code or the refresh token."""


@frozen(kw_only=True)
class AuthorizationServer:
    """Where to authorize for an MCP server. `resource` names the server in requests for tokens."""

    issuer: str | None
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None
    scopes: tuple[str, ...]
    resource: str
    client_documents: bool
    """Whether a client may identify itself by a URL (client ID metadata documents)."""


@frozen(kw_only=True)
class Granted:
    """The answer to a request for tokens. `seconds` is how long the access token is valid."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    seconds: float | None
    scopes: tuple[str, ...] | None


@frozen
class Pkce:
    """A proof key: the client keeps the verifier, and shows it when it exchanges the code."""

    verifier: str = field(repr=False, factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        """The S256 challenge."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def discover(client: httpx.AsyncClient, url: str) -> AuthorizationServer | None:
    """The authorization server of the MCP server at `url`; None if it has none.

    Raises OAuthError if the server cannot be reached, or if what it says is inconsistent.
    """
    with trio.move_on_after(DISCOVERY_SECONDS):
        return await _discover(client, url)
    raise OAuthError(f"the authorization server of {shown(url)} was not found within {DISCOVERY_SECONDS:g} seconds")


async def _discover(client: httpx.AsyncClient, url: str) -> AuthorizationServer | None:
    metadata = await _protected_resource(client, url)
    if metadata is not None:
        for issuer in sequence(metadata.get("authorization_servers"))[:4]:
            if isinstance(issuer, str) and _acceptable(issuer, url):
                for place in _places(issuer):
                    found = await _json(client, place)
                    if found is not None:
                        return _server(found, url, metadata, issuer)
        raise OAuthError("the server names no authorization server that has metadata")
    for place in dict.fromkeys((_with_path(url, _SERVER, True), _with_path(url, _SERVER, False))):
        found = await _json(client, place)
        if found is not None and "token_endpoint" in found:
            return _server(found, url, {}, None)
    return None


async def _protected_resource(client: httpx.AsyncClient, url: str) -> Mapping[str, Any] | None:
    status, headers, _ = await _send(client, "GET", url, {"accept": "application/json, text/event-stream"})
    named = _CHALLENGE.search(headers.get("www-authenticate", "")) if status == 401 else None
    places = [_with_path(url, _PROTECTED, True), _with_path(url, _PROTECTED, False)]
    if named is not None and _origin(given := named[1] or named[2] or "") == _origin(url):
        places.insert(0, given)
    for place in dict.fromkeys(places):
        found = await _json(client, place)
        if found is not None and "authorization_servers" in found:
            return found
    return None


def _server(
    found: Mapping[str, Any], url: str, resource: Mapping[str, Any], issuer: str | None
) -> AuthorizationServer:
    said = text_or_none(found.get("issuer"))
    if issuer is not None and (said is None or said.rstrip("/") != issuer.rstrip("/")):
        raise OAuthError("the metadata of the authorization server is that of another issuer")
    endpoints: dict[str, str] = {}
    for name in ("authorization_endpoint", "token_endpoint", "registration_endpoint"):
        value = text_or_none(found.get(name))
        if value is not None and not _acceptable(value, url):
            raise OAuthError(f"the `{name}` of the authorization server is not a URL that can be used")
        if value is not None:
            endpoints[name] = value
        elif name != "registration_endpoint":
            raise OAuthError(f"the authorization server names no `{name}`")
    methods = found.get("code_challenge_methods_supported")
    if methods is not None and "S256" not in sequence(methods):
        raise OAuthError("the authorization server does not support PKCE with S256")
    scopes = sequence(resource.get("scopes_supported")) or sequence(found.get("scopes_supported"))
    named = text_or_none(resource.get("resource"))
    return AuthorizationServer(
        issuer=said,
        authorization_endpoint=endpoints["authorization_endpoint"],
        token_endpoint=endpoints["token_endpoint"],
        registration_endpoint=endpoints.get("registration_endpoint"),
        scopes=tuple(one for one in scopes if isinstance(one, str) and one.isascii() and len(one) <= _SHOWN)[:64],
        resource=named if named is not None and _origin(named) == _origin(url) else url,
        client_documents=found.get("client_id_metadata_document_supported") is True,
    )


async def register(
    client: httpx.AsyncClient, server: AuthorizationServer, redirect_uri: str, scopes: Sequence[str]
) -> str:
    """Register as a public client; returns the client's id. Raises OAuthError."""
    if server.registration_endpoint is None:
        raise OAuthError("the authorization server registers no clients; configure `oauth.client_id` of the server")
    asked: dict[str, object] = {
        "client_name": CLIENT_NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "response_types": ["code"],
        "application_type": "native",
    }
    if scopes:
        asked["scope"] = " ".join(scopes)
    status, _, body = await _send(
        client, "POST", server.registration_endpoint, {"content-type": "application/json"}, orjson.dumps(asked)
    )
    answer = _object(body) if status in (200, 201) else None
    client_id = None if answer is None else text_or_none(answer.get("client_id"))
    if not client_id:
        raise OAuthError(f"the authorization server did not register the client: HTTP status {status}{_reason(body)}")
    return client_id


def authorization_url(
    server: AuthorizationServer, *, client_id: str, redirect_uri: str, state: str, pkce: Pkce,
    scopes: Sequence[str], resource: str,
) -> str:  # fmt: skip
    """The page on which the user authorizes the client."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "state": state,
        "code_challenge": pkce.challenge,
        "code_challenge_method": "S256",
        "redirect_uri": redirect_uri,
        **({"scope": " ".join(scopes)} if scopes else {}),
        "resource": resource,
    }
    parts = urlsplit(server.authorization_endpoint)
    both = "&".join(part for part in (parts.query, urlencode(query)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, both, ""))


async def exchange(
    client: httpx.AsyncClient, server: AuthorizationServer, *, code: str, client_id: str, redirect_uri: str, pkce: Pkce,
    resource: str,
) -> Granted:  # fmt: skip
    """Exchange a code for tokens. Raises OAuthError."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": pkce.verifier,
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "resource": resource,
    }
    return await _grant(client, server, form)


async def refresh(
    client: httpx.AsyncClient, server: AuthorizationServer, *, refresh_token: str, client_id: str,
    scopes: Sequence[str], resource: str,
) -> Granted:  # fmt: skip
    """Get new tokens. Raises TokenRefused if the user has to log in again, OAuthError."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        **({"scope": " ".join(scopes)} if scopes else {}),
        "client_id": client_id,
        "resource": resource,
    }
    return await _grant(client, server, form)


async def _grant(client: httpx.AsyncClient, server: AuthorizationServer, form: Mapping[str, str]) -> Granted:
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    status, _, body = await _send(client, "POST", server.token_endpoint, headers, urlencode(form).encode())
    answer = _object(body)
    if status != 200 or answer is None:
        kind = TokenRefused if status in (400, 401) else OAuthError
        raise kind(f"the authorization server gave no token: HTTP status {status}{_reason(body)}")
    access, renewing = text_or_none(answer.get("access_token")), text_or_none(answer.get("refresh_token"))
    if access is None or _TOKEN.fullmatch(access) is None or str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise OAuthError("the authorization server gave no bearer token")
    seconds = answer.get("expires_in")
    scope = text_or_none(answer.get("scope"))
    return Granted(
        access_token=access,
        refresh_token=renewing,
        seconds=float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 2**40 else None,
        scopes=None if scope is None else tuple(scope.split()),
    )


async def _json(client: httpx.AsyncClient, url: str) -> Mapping[str, Any] | None:
    """The JSON object at a URL; None if there is none."""
    status, _, body = await _send(client, "GET", url, {"accept": "application/json"})
    return _object(body) if status == 200 else None


async def _send(
    client: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], content: bytes = b""
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of a request's answer. Redirects are not followed. Raises OAuthError."""
    import httpx

    try:
        with trio.fail_after(REQUEST_SECONDS):
            request = client.build_request(method, url, headers=dict(headers), content=content or None)
            response = await client.send(request, stream=True, follow_redirects=False)
            async with HttpBody(response, ServerLog("oauth")) as content_of:
                streams = response.headers.get("content-type", "").startswith("text/event-stream")
                body = b"" if streams else await content_of.start(_BODY + 1)
    except trio.TooSlowError:
        raise OAuthError(f"{shown(url)} did not answer within {REQUEST_SECONDS:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OAuthError(f"HTTP request failed: {shown(url)}: {type(error).__name__}") from None
    if len(body) > _BODY:
        raise OAuthError(f"the answer of {shown(url)} is larger than {_BODY} bytes")
    return response.status_code, response.headers, body


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        value: object = loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if is_mapping(value) else None


def _reason(body: bytes) -> str:
    """The error of an authorization server, as RFC 6749 says it."""
    answer = _object(body) or {}
    texts = (text_or_none(answer.get("error")), text_or_none(answer.get("error_description")))
    said = ": ".join(one_line(one, _SHOWN) for one in texts if one)
    return f" ({said})" if said else ""


def _acceptable(endpoint: str, url: str) -> bool:
    """Whether to send requests, or the user, to an endpoint: not without TLS if the MCP server has it."""
    if url_fault(endpoint) is not None or "@" in urlsplit(endpoint).netloc:
        return False
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or urlsplit(url).scheme == "http" or parts.hostname in _LOCAL


def _origin(url: str) -> tuple[str, str] | None:
    if url_fault(url) is not None:
        return None
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]


def _with_path(url: str, well_known: str, keep: bool) -> str:
    parts = urlsplit(url)
    path = parts.path.rstrip("/") if keep else ""
    return urlunsplit((parts.scheme, parts.netloc, well_known + path, "", ""))


def _places(issuer: str) -> Sequence[str]:
    """Where the metadata of an issuer may be."""
    parts = urlsplit(issuer)
    last = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + _OPENID, "", ""))
    return list(dict.fromkeys((_with_path(issuer, _SERVER, True), _with_path(issuer, _OPENID, True), last)))
