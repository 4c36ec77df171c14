"""MCP servers as clients see them: their status, their environment, and a login."""

from __future__ import annotations

import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from benchmarks.driving import Refused
from tests.rpc.mcp.authorization_server import AuthorizingServer
from tests.storage.plugins.made import marketplace, plugin, write

from .client import Client
from .process import Daemon

SERVER = Path(__file__).parents[1] / "actors" / "tools" / "mcp" / "tiny_server.py"
TINY = {"command": sys.executable, "args": ["-S", "-E", str(SERVER)]}


@pytest.fixture
def web() -> Iterator[AuthorizingServer]:
    """A server that needs a login, in a thread of its own."""
    server = AuthorizingServer()
    ready = threading.Event()
    tokens: list[trio.lowlevel.TrioToken] = []
    scope = trio.CancelScope()

    async def serve() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.port = listener.socket.getsockname()[1]
        server.open()
        tokens.append(trio.lowlevel.current_trio_token())
        ready.set()
        with scope:
            await trio.serve_listeners(server.serve, [listener])

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    assert ready.wait(30)
    yield server
    tokens[0].run_sync_soon(scope.cancel)
    thread.join()


def configured(home: Path, text: str) -> None:
    with (home / "config.toml").open("a") as config:
        config.write(text)


def tiny(name: str, more: str = "") -> str:
    return f'\n[mcp_servers.{name}]\ncommand = "{TINY["command"]}"\nargs = {TINY["args"]}\n{more}'


def completed(client: Client, since: int) -> dict[str, Any]:
    found = client.messages.find(lambda message: message.get("method") == "mcpServer/oauthLogin/completed", since)
    params: dict[str, Any] = found["params"]
    return params


def listed(client: Client, **params: Any) -> dict[str, Any]:
    return {one["name"]: one for one in client.call("mcpServerStatus/list", **params)["data"]}


def test_the_status_of_a_threads_servers(home: Path, launch: Callable[..., Daemon]) -> None:
    configured(home, tiny("tiny") + tiny("off", "enabled = false\n") + '[mcp_servers.bad]\ncommand = "/nonexistent"\n')
    configured(home, '[mcp_servers.web]\nurl = "http://user:secret@127.0.0.1:9/a?key=secret"\n')
    client = launch().client()
    thread = client.start_thread()["id"]
    found = listed(client, threadId=thread)
    assert {name: one["runtimeStatus"] for name, one in found.items()} == {
        "bad": "failed", "off": "disabled", "tiny": "connected", "web": "failed",
    }  # fmt: skip
    one = found["tiny"]
    assert (one["serverInfo"]["name"], one["serverCapabilities"]) == ("tiny", {"tools": {}, "resources": {}})
    assert (one["toolsError"], one["environmentId"], one["pluginId"], one["httpOrigin"]) == (None, None, None, None)
    assert sorted(one["tools"]) == ["echo", "write"]
    assert found["bad"]["toolsError"].startswith("MCP startup failed: No such file or directory")
    assert found["web"]["httpOrigin"] == "http://127.0.0.1:9"
    assert [one["runtimeStatus"] for one in listed(client, serverName="tiny").values()] == [None]
    [starting] = [
        one["params"] for one in client.messages.entries
        if one.get("method") == "mcpServer/startupStatus/updated" and one["params"]["name"] == "tiny"
        and one["params"]["status"] == "starting"
    ]  # fmt: skip
    assert (starting["threadId"], starting["environmentId"], starting["failureReason"]) == (thread, None, None)


def test_a_plugins_server_is_in_the_local_environment(home: Path, tmp_path: Path, launch: Callable[..., Daemon]) -> None:
    root = tmp_path / "market"
    write(plugin(root / "plugins", "alpha") / ".mcp.json", {"mcpServers": {"inner": TINY}})
    configured(home, tiny("outer"))
    client = launch().client()
    thread = client.start_thread()["id"]
    client.call("plugin/install", marketplacePath=str(marketplace(root, "mk", "alpha")), pluginName="alpha")
    client.run_turn(thread, "hello")  # from now on the thread has the plugin's server
    found = listed(client, threadId=thread)
    assert [(one["environmentId"], one["pluginId"]) for one in found.values()] == [("local", "alpha@mk"), (None, None)]
    assert list(listed(client, threadId=thread, serverName="inner", environmentId="local")) == ["inner"]
    assert listed(client, threadId=thread, serverName="outer", environmentId="local") == {}
    with pytest.raises(Refused, match="environmentId requires serverName and threadId"):
        listed(client, environmentId="local")
    call: dict[str, Any] = {"threadId": thread, "tool": "echo", "arguments": {"text": "hi"}, "environmentId": "local"}
    assert client.call("mcpServer/tool/call", server="inner", **call)["content"][0]["text"] == "hi"
    with pytest.raises(Refused, match=r"unknown MCP server 'outer \(environment local\)'"):
        client.call("mcpServer/tool/call", server="outer", **call)
    read = {"server": "inner", "uri": "mem://a", "threadId": thread}
    assert client.call("mcpServer/resource/read", **read, environmentId="local")["originCallId"] is None
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"environmentId": "other"}, r"unknown MCP server 'inner \(environment other\)'"),
        ({"_meta": {"threadId": "x"}}, "reserved resource read metadata key: threadId"),
        ({"target": {"connectorId": "c", "linkId": None}}, "target requires unscoped codex_apps"),
        ({"threadId": None, "originCallId": "c"}, "originCallId requires threadId"),
    ]
    for params, reason in wrong:
        with pytest.raises(Refused, match=reason):
            client.call("mcpServer/resource/read", **read | params)


def test_a_login_makes_a_threads_server_usable(home: Path, launch: Callable[..., Daemon], web: AuthorizingServer) -> None:
    configured(home, f'\n[mcp_servers.web]\nurl = "{web.url}"\n' + tiny("tiny"))
    daemon = launch(log="debug")
    client = daemon.client()
    thread = client.start_thread()["id"]
    assert listed(client, threadId=thread)["web"]["runtimeStatus"] == "authenticationRequired"
    for params, reason in [
        ({"name": "none"}, "No MCP server named 'none' found"),
        ({"name": "tiny"}, "OAuth login is only supported for streamable HTTP servers"),
        ({"name": "web", "environmentId": "local"}, r"No MCP server named 'web \(environment local\)' found"),
        ({"name": "web", "threadId": "00000000-0000-0000-0000-000000000000"}, "thread not found"),
        ({"name": "web", "clientRegistration": "cimd"}, "does not advertise CIMD"),
    ]:
        with pytest.raises(Refused, match=reason):
            client.call("mcpServer/oauth/login", **params)
    since = client.now
    begun = client.call("mcpServer/oauth/login", name="web", threadId=thread)
    with urllib.request.urlopen(web.authorize(begun["authorizationUrl"])) as page:
        assert page.status == 200
    ended = completed(client, since)
    assert ended == {"name": "web", "threadId": thread, "loginId": begun["loginId"], "success": True}
    client.run_turn(thread, "hello")
    found = listed(client, threadId=thread)["web"]
    assert (found["runtimeStatus"], found["authStatus"]) == ("connected", "oAuth")
    since = client.now
    begun = client.call("mcpServer/oauth/login", name="web")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(web.authorize(begun["authorizationUrl"], error="access_denied"))
    ended = completed(client, since)
    assert (ended["success"], ended["error"]) == (False, "OAuth provider returned `access_denied`")
    client.wire.close()
    daemon.wait()
    assert not [one for one in web.tokens | web.refreshing if any(one in line for line in daemon.log.entries)]
