"""A server over streamable HTTP, played on loopback: JSON and event streams, the session, tokens, and its end."""

from typing import Any

import pytest
import trio
from tests.rpc.mcp.web_server import Answer, as_events, as_json, result
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp.opening import ServerOpener
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.mcp.mcp_errors import McpError, TransportClosed
from spindle.storage.config import McpServerConfig


async def test_a_session(web, start):
    server = await start(
        {"TOKEN": "t", "VAR": "v"},
        bearer_token_env_var="TOKEN",
        http_headers={"x-plain": "p"},
        env_http_headers={"x-var": "VAR", "x-missing": "MISSING"},
    )
    assert (server.state, [tool["name"] for tool in server.tools]) == ("ready", ["echo"])
    web.calls.append(result("hi"))
    assert await server.call_tool("echo", {}, {}) == {"content": [{"type": "text", "text": "hi"}]}
    (first,), (last,) = web.sent("initialize"), web.sent("tools/call")
    for request in (first, last):
        assert request.headers["authorization"] == "Bearer t"
        assert (request.headers["x-plain"], request.headers["x-var"]) == ("p", "v")
        assert "x-missing" not in request.headers
        assert request.headers["accept"] == "application/json, text/event-stream"
    assert "mcp-session-id" not in first.headers
    assert (last.headers["mcp-session-id"], last.headers["mcp-protocol-version"]) == ("s-1", "2025-06-18")


async def test_the_end_of_the_thread_ends_the_session(web, host):
    async with trio.open_nursery() as thread:
        servers = McpServers(thread, host, ServerOpener("/", {}, Warden()), {})
        servers.configure({"web": McpServerConfig(name="web", url=web.url)})
        await servers.settled()
        thread.cancel_scope.cancel()
    assert web.gone.is_set()
    assert web.requests[-1].headers["mcp-session-id"] == "s-1"


async def test_a_stream_carries_progress_questions_and_the_answer(web, start, nursery, host):
    server = await start()
    go = trio.Event()
    reports: list[Any] = []
    web.calls.append(
        lambda message: as_events(
            {"method": "notifications/progress", "params": {"progressToken": message["id"], "progress": 1}},
            {"id": 5, "method": "ping"},
            go,
            {"id": message["id"], "result": {"content": []}},
        )
    )
    found: list[Any] = []

    async def call():
        found.append(await server.call_tool("echo", {}, {}, progress=reports.append))

    nursery.start_soon(call)
    while not any(request.json == {"jsonrpc": "2.0", "id": 5, "result": {}} for request in web.requests):
        await wait_all_tasks_blocked(0.01)
    assert (len(reports), found) == (1, [])
    go.set()
    while not found:
        await wait_all_tasks_blocked(0.01)
    assert found == [{"content": []}]


async def test_notifications_come_by_the_servers_own_stream(web, start):
    web.stream = as_events({"method": "notifications/tools/list_changed"}, trio.Event())
    await start()
    while len(web.sent("tools/list")) < 2:
        await wait_all_tasks_blocked(0.01)
    (listening,) = [request for request in web.requests if request.method == "GET"]
    assert (listening.headers["accept"], listening.headers["mcp-session-id"]) == ("text/event-stream", "s-1")


async def test_a_cancelled_call_is_cancelled_at_the_server(web, start, nursery):
    server = await start()
    web.calls.append(lambda message: as_events(trio.Event()))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as inner:
            inner.start_soon(server.call_tool, "echo", {}, {})
            while not web.sent("tools/call"):
                await wait_all_tasks_blocked(0.01)
            scope.cancel()
    while not web.sent("notifications/cancelled"):
        await wait_all_tasks_blocked(0.01)
    (call,), (cancelled,) = web.sent("tools/call"), web.sent("notifications/cancelled")
    assert cancelled.json["params"]["requestId"] == call.json["id"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(500, [b"no luck"]), "HTTP status 500: no luck"),
        (Answer(500), "HTTP status 500"),
        (Answer(202), "Mcp error: -32000: the connection ended without an answer"),
        (as_json({"method": "notifications/x"}), "Mcp error: -32000: the connection ended without an answer"),
        (Answer(200, [b"hello"]), "Mcp error: -32000: this is not a message: hello"),
        (as_events(), "Mcp error: -32000: the connection ended without an answer"),
    ],
)
async def test_calls_that_fail_leave_the_session_in_order(web, start, answer, said):
    server = await start()
    web.calls += [answer, result("fine")]
    with pytest.raises(McpError) as caught:
        await server.call_tool("echo", {}, {})
    assert str(caught.value) == said
    assert (await server.call_tool("echo", {}, {}))["content"][0]["text"] == "fine"


async def test_a_session_the_server_has_forgotten_is_over(web, start):
    server = await start()
    web.calls.append(Answer(404))
    with pytest.raises(TransportClosed, match="the server ended the session"):
        await server.call_tool("echo", {}, {})
    while server.alive:
        await wait_all_tasks_blocked(0.01)
    with pytest.raises(TransportClosed):
        await server.call_tool("echo", {}, {})


async def test_a_server_that_moved_its_path(web, start):
    web.first = Answer(307, headers={"location": "/mcp/"})
    server = await start()
    assert server.state == "ready"
    assert [request.target for request in web.requests if request.method == "POST"] == ["/mcp", *["/mcp/"] * 3]


async def test_our_headers_are_not_sent_to_another_origin(web, start):
    web.first = Answer(307, headers={"location": f"http://localhost:{web.port}/mcp"})
    server = await start({"T": "t"}, bearer_token_env_var="T")
    assert server.state == "failed"
    assert len(web.requests) == 1


async def test_a_refused_handshake(web, start):
    web.first = Answer(401, [b"who are you"])
    server = await start()
    assert server.reason == "handshaking with MCP server failed: HTTP status 401: who are you"


async def test_a_server_that_does_not_listen(start):
    server = await start(url="http://127.0.0.1:1/mcp")
    assert server.reason.startswith("handshaking with MCP server failed: HTTP request failed: http://127.0.0.1:1/mcp: ")


@pytest.mark.parametrize("url", ["nonsense", "ftp://x/", "http://[::"])
async def test_invalid_urls(start, url):
    server = await start(url=url)
    assert server.state == "failed"
    assert "handshaking with MCP server failed" in server.reason


@pytest.mark.parametrize(
    ("user", "token", "reason"),
    [("ann:sk-user@", "sk-token", "key=…"), ("", "sk-token\r\nx: y", "a header has a value that cannot be sent")],
)
async def test_the_error_of_a_server_contains_no_key(web, start, caplog, user, token, reason):
    url = f"http://{user}127.0.0.1:{9 if user else web.port}/mcp?key=sk-query"
    server = await start({"TOKEN": token}, url=url, bearer_token_env_var="TOKEN")
    assert server.state == "failed"
    assert reason in server.reason
    assert "sk-" not in server.reason + caplog.text


async def test_a_missing_token(start):
    server = await start(bearer_token_env_var="TOKEN")
    assert server.reason == "Environment variable TOKEN for MCP server 'web' is not set"
