"""Logins to servers over HTTP: discovery, the browser's way back, stored tokens, refreshes, and what goes wrong."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
import trio
import trio.lowlevel
from attrs import evolve
from tests.rpc.mcp.authorization_server import PROTECTED, SERVER, AuthorizingServer, browse, page

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp.authorization import authenticated
from spindle.actors.tools.mcp.login import CallbackPlace, log_in
from spindle.actors.tools.mcp.opening import ServerOpener
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.mcp.oauth import OAuthError
from spindle.storage.config import McpServerConfig
from spindle.storage.home import Home
from spindle.storage.mcp_tokens import McpTokens, McpTokenStore


@pytest.fixture
async def web(nursery):
    server = AuthorizingServer()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.port = listener.socket.getsockname()[1]
    server.open()
    nursery.start_soon(trio.serve_listeners, server.serve, [listener])
    return server


@pytest.fixture
def store(tmp_path: Path) -> McpTokenStore:
    return McpTokenStore(Home(tmp_path / "home"))


@pytest.fixture
def login(nursery, web, store):
    """login(**settings) -> (the page of a login that has begun, the list that gets how it ends)."""

    async def begin(seconds=60.0, scopes=None, registration="auto", place=None, **settings):
        pages, sent = trio.open_memory_channel[str](1)
        ended: list[object] = []

        async def run() -> None:
            config = McpServerConfig(name="web", **({"url": web.url} | settings))
            try:
                await log_in(
                    config, store, pages.send_nowait,
                    place=place or CallbackPlace(), scopes=scopes, registration=registration, seconds=seconds,
                )  # fmt: skip
                ended.append("done")
            except OAuthError as error:
                ended.append(str(error))
            pages.close()

        nursery.start_soon(run)
        url = None
        async for one in sent:
            url = one
            break
        return url, ended

    return begin


@pytest.fixture
def start(nursery, host, web, store):
    """start() -> the thread's server, once it has started or failed."""

    async def begin(**settings):
        servers = McpServers(nursery, host, ServerOpener("/", {}, Warden(), store), {"name": "spindle"})
        servers.configure({"web": McpServerConfig(name="web", url=web.url, **settings)})
        await servers.settled()
        return servers.all()[0]

    return begin


def stored(store: McpTokenStore, web: Any) -> McpTokens:
    found = store.read("web", web.url)
    assert found is not None
    return found


async def until(ended: list[object]) -> object:
    while not ended:
        await trio.lowlevel.checkpoint()
    return ended[0]


async def test_a_login_gives_the_tokens_with_which_a_server_starts(web, store, login, start, tmp_path):
    server = await start()
    assert (server.state, server.login) == ("failed", "first")
    advice = "Log in with `mcpServer/oauth/login`, or run `codex mcp login web`."
    assert server.error == f"The web MCP server is not logged in. {advice}"
    url, ended = await login(scopes=["a", "c"])
    asked = dict(parse_qsl(urlsplit(url).query))
    assert (asked["scope"], asked["resource"], asked["code_challenge_method"]) == ("a c", web.url, "S256")
    [client] = web.clients
    assert asked["client_id"] == client
    assert web.clients[client]["redirect_uris"] == [asked["redirect_uri"]]
    assert await browse(web.authorize(url)) == (200, "Authentication complete. You may close this window.")
    assert await until(ended) == "done"
    tokens = stored(store, web)
    assert tokens.access_token in web.tokens
    assert (tokens.issuer, tokens.client_id, tokens.scopes) == (web.origin, client, ("a", "c"))
    assert tokens.expires_at is not None
    assert 3590 < tokens.expires_at / 1000 - time.time() <= 3600
    file = tmp_path / "home/.credentials.json"
    assert file.stat().st_mode & 0o777 == 0o600
    [(key, entry)] = orjson.loads(file.read_bytes()).items()
    assert key.startswith("web|")
    assert len(key) == 20
    assert list(entry) == [
        "server_name", "server_url", "issuer", "client_id", "access_token", "expires_at", "refresh_token", "scopes",
    ]  # fmt: skip
    server = await start()
    assert (server.state, [tool["name"] for tool in server.tools]) == ("ready", ["echo"])
    assert web.sent("tools/list")[-1].headers["authorization"] == f"Bearer {tokens.access_token}"


def test_the_entry_of_a_server_is_called_as_codex_calls_it(store, tmp_path):
    url = "http://127.0.0.1:44493/mcp"
    store.keep(
        McpTokens(
            server_name="oa", server_url=url, issuer=None, client_id="c", access_token="a", expires_at=None,
            refresh_token=None, scopes=(),
        )
    )  # fmt: skip
    assert list(orjson.loads((tmp_path / "home/.credentials.json").read_bytes())) == ["oa|6c97535cb63ea8cc"]
    assert store.read("oa", url + "x") is None
    assert "'a'" not in repr(store.read("oa", url))


async def test_the_login_of_one_server_leaves_those_of_others(web, store, login, tmp_path):
    file = tmp_path / "home/.credentials.json"
    file.parent.mkdir()
    file.write_text('{"other|1": {"unknown": 1}}')
    url, ended = await login()
    await browse(web.authorize(url))
    assert await until(ended) == "done"
    assert orjson.loads(file.read_bytes())["other|1"] == {"unknown": 1}


@pytest.mark.parametrize("early", [True, False])
async def test_tokens_are_refreshed_when_they_end_and_when_they_are_refused(web, store, login, start, early):
    url, ended = await login()
    await browse(web.authorize(url))
    await until(ended)
    old = stored(store, web)
    if early:
        store.keep(evolve(old, expires_at=int((time.time() + 20) * 1000)))
    web.tokens.clear()
    server = await start()
    assert server.state == "ready"
    new = stored(store, web)
    assert new.access_token != old.access_token
    assert new.refresh_token != old.refresh_token
    form = web.asked("/token")[-1]
    assert (form["grant_type"], form["refresh_token"], form["client_id"], form["resource"]) == (
        "refresh_token", old.refresh_token, old.client_id, web.url,
    )  # fmt: skip
    await start()
    assert len(web.asked("/token")) == 2


async def test_a_token_ends_while_the_server_is_used(web, store, login, start):
    url, ended = await login()
    await browse(web.authorize(url))
    await until(ended)
    server = await start()
    web.tokens.clear()
    web.calls.append(lambda message: page(200, {"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}))
    assert await server.call_tool("echo", {}, {}) == {"content": []}


async def test_several_servers_refresh_once(web, store, login, start):
    url, ended = await login()
    await browse(web.authorize(url))
    await until(ended)
    store.keep(evolve(stored(store, web), expires_at=1))
    states: list[str] = []

    async def one() -> None:
        states.append((await start()).state)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(one)
    assert states == ["ready"] * 4
    assert len(web.asked("/token")) == 2


async def test_a_refused_refresh_asks_for_another_login(web, store, login, start, host):
    url, ended = await login()
    await browse(web.authorize(url))
    await until(ended)
    store.keep(evolve(stored(store, web), expires_at=1))
    web.refreshing.clear()
    server = await start()
    assert (server.state, server.login, server.reason) == ("failed", "again", "OAuth authorization required")
    assert "requires OAuth reauthentication" in server.error
    assert stored(store, web).refresh_token is None
    assert host.emitted[-1].failure_reason == "reauthenticationRequired"
    asked = len(web.asked("/token"))
    assert (await start()).login == "again"
    assert len(web.asked("/token")) == asked


async def test_a_refresh_token_is_sent_to_no_other_authorization_server(web, store, login, start):
    url, ended = await login()
    await browse(web.authorize(url))
    await until(ended)
    store.keep(evolve(stored(store, web), expires_at=1, issuer="https://login.example.test"))
    assert (await start()).login == "again"
    assert len(web.asked("/token")) == 1


async def test_only_the_browser_with_the_state_decides(web, store, login):
    url, ended = await login()
    back = web.authorize(url)
    parts = urlsplit(back)
    base = f"http://{parts.netloc}"
    assert (await browse(f"{base}/other?{parts.query}"))[0] == 404
    assert (await browse(f"{base}{parts.path}?code=x&state=wrong"))[0] == 400
    assert (await browse(f"{base}{parts.path}?code=x"))[0] == 400
    async with await trio.open_tcp_stream("127.0.0.1", parts.port) as stream:
        await stream.send_all(b"\x16\x03\x01garbage\r\n\r\n")
        await stream.receive_some()
    assert ended == []
    assert (await browse(back))[0] == 200
    assert await until(ended) == "done"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"error": "access_denied", "error_description": "no\x1b way"}, "OAuth provider returned `access_denied`: no\\x1b way"),
        ({"error": "access_denied"}, "OAuth provider returned `access_denied`"),
        ({"code": ""}, "failed to handle OAuth callback"),
        ({"iss": "https://other.example.test"}, "the answer is that of another authorization server"),
    ],
)
async def test_an_answer_without_a_code_ends_the_login(web, store, login, answer, reason):
    url, ended = await login()
    assert await browse(web.authorize(url, **answer)) == (400, reason)
    assert await until(ended) == reason
    assert store.read("web", web.url) is None


async def test_a_login_waits_only_so_long(web, store, login, autojump_clock):
    url, ended = await login(seconds=5)
    began = trio.current_time()
    assert await until_slept(ended) == "timed out waiting for OAuth callback"
    assert trio.current_time() - began <= 10
    with pytest.raises(OSError, match=r"multiple|refused|connect"):
        await browse(web.authorize(url))


async def until_slept(ended: list[object]) -> object:
    for _ in range(10):
        await trio.sleep(1)
    return ended[0]


def served(**changes: Any) -> Any:
    def change(web: Any) -> None:
        web.documents[SERVER] = {
            name: value for name, value in (web.documents[SERVER] | changes).items() if value is not None
        }

    return change


def protected(**changes: Any) -> Any:
    return lambda web: web.documents[f"{PROTECTED}/mcp"].update(changes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda web: web.documents.clear(), "the server offers no OAuth login"),
        (served(issuer="https://other.example.test"), "is that of another issuer"),
        (served(token_endpoint=None), "names no `token_endpoint`"),
        (served(authorization_endpoint="javascript:alert(1)"), "`authorization_endpoint` of the authorization server is not"),
        (served(token_endpoint="file:///etc/passwd"), "`token_endpoint` of the authorization server is not"),
        (served(code_challenge_methods_supported=["plain"]), "does not support PKCE"),
        (served(registration_endpoint=None), "registers no clients"),
        (protected(authorization_servers=["ftp://x"]), "names no authorization server that has metadata"),
        (protected(authorization_servers=[]), "names no authorization server that has metadata"),
        (
            lambda web: web.broken.update({"/register": page(400, {"error": "no"})}),
            r"did not register the client: HTTP status 400 \(no\)",
        ),
        (lambda web: web.broken.update({SERVER: page(200, {"x": "y" * 300_000})}), "is larger than"),
    ],
)
async def test_a_server_that_cannot_be_logged_in_to_is_named(web, login, change, reason):
    change(web)
    url, ended = await login()
    assert url is None
    assert re.search(reason, str(await until(ended)))


@pytest.mark.parametrize(
    "answer",
    [
        page(400, {"error": "invalid_grant"}),
        page(200, {"access_token": "a b\r\nx: y", "token_type": "Bearer"}),
        page(200, {"access_token": "a", "token_type": "mac"}),
        page(200, []),
        page(500, "no"),
    ],
)
async def test_an_answer_without_a_token_fails_the_login(web, store, login, answer):
    url, ended = await login()
    web.broken["/token"] = answer
    await browse(web.authorize(url))
    said = str(await until(ended))
    assert "gave no" in said
    assert "a b" not in said
    assert store.read("web", web.url) is None


async def test_a_configured_client_and_callback_are_used(web, store, login, start):
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    place = CallbackPlace(port=port, url=f"http://localhost:{port}/back")
    url, ended = await login(place=place, oauth={"client_id": "mine"}, oauth_resource="urn:x", scopes=[])
    asked = dict(parse_qsl(urlsplit(url).query))
    assert (asked["redirect_uri"], asked["client_id"], asked["resource"]) == (place.url, "mine", "urn:x")
    assert "scope" not in asked
    assert web.clients == {}
    assert (await browse(web.authorize(url)))[0] == 200
    assert await until(ended) == "done"
    store.keep(evolve(stored(store, web), expires_at=1))
    assert (await start(oauth_resource="urn:x")).state == "ready"
    assert [form["resource"] for form in web.asked("/token")] == ["urn:x", "urn:x"]


async def test_a_server_that_cannot_be_reached_is_named_without_its_keys(web, login):
    url, ended = await login(url="http://user:secret@127.0.0.1:1/a?key=secret")
    assert url is None
    assert await until(ended) == "HTTP request failed: http://127.0.0.1:1/a?key=\u2026: ConnectError"


async def test_only_the_configured_issuer_is_used(web, login):
    url, ended = await login(oauth={"authorization_server_issuer": "https://login.example.test"})
    assert url is None
    assert "is not the configured" in str(await until(ended))
    url, ended = await login(oauth={"authorization_server_issuer": web.origin})
    assert url is not None


async def test_the_status_of_authentication(web, store, login, start):
    def config(**settings: Any) -> McpServerConfig:
        return McpServerConfig(name="web", **({"url": web.url} | settings))

    async def status(server: Any = None, environ: Any = (), **settings: Any) -> str:
        return await authenticated(store, dict(environ), config(**settings), server)

    assert await status(url=None, command="x") == "unsupported"
    assert await status(bearer_token_env_var="T") == "bearerToken"
    assert await status(http_headers={"Authorization": "x"}) == "bearerToken"
    assert await status(env_http_headers={"Authorization": "T"}, environ={"T": "x"}) == "bearerToken"
    assert await status(await start()) == "notLoggedIn"
    web.anonymous = True
    assert await status(await start()) == "notLoggedIn"
    web.documents.clear()
    assert await status(await start()) == "unsupported"
    web.open()
    url, ended = await login()
    await browse(web.authorize(url))
    await until(ended)
    assert await status(await start()) == "oAuth"
    store.keep(evolve(stored(store, web), expires_at=1))
    assert await status() == "oAuth"
    store.keep(evolve(stored(store, web), expires_at=1, refresh_token=None))
    assert await status() == "unsupported"
