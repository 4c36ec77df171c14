"""Hostile servers over streamable HTTP: the call or the start fails with a reason, and the thread continues."""

import gzip
import itertools
import zlib
from typing import Any

import orjson
import pytest
import trio
from tests.rpc.mcp.played import READY
from tests.rpc.mcp.web_server import Answer, as_events, as_json, result
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp.opening import ServerOpener
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.mcp import streamable_http
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.storage.config import McpServerConfig

MIB = 1 << 20
EVENTS = "text/event-stream"


def raw_answer(message: Any, body: bytes) -> bytes:
    """The answer to a call, with the raw `body` as its result."""
    return b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (message["id"], body)


def answering(message: Any, body: bytes) -> Answer:
    return Answer(body=[raw_answer(message, body)])


def bomb(message: Any, times: int) -> bytes:
    body = orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": [], "a": "a" * 50 * MIB}})
    for _ in range(times):
        body = gzip.compress(body, 9)
    return body


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


CALLS = {
    "a gzip bomb": (lambda m: Answer(body=[bomb(m, 1)], headers={"content-encoding": "gzip"}), "content-encoding gzip"),
    "nested gzip": (
        lambda m: Answer(body=[bomb(m, 3)], headers={"content-encoding": "gzip, gzip, gzip"}),
        "content-encoding gzip, gzip, gzip, which was not asked for",
    ),
    "deflated events": (
        lambda m: Answer(body=[zlib.compress(event(b"{}"))], kind=EVENTS, headers={"content-encoding": "deflate"}),
        "content-encoding deflate",
    ),
    "an endless body": (lambda m: Answer(body=itertools.repeat(b" " * MIB)), "the answer is longer than 33554432 bytes"),
    "an endless line": (
        lambda m: Answer(body=itertools.chain([b"data: "], itertools.repeat(b"a" * MIB)), kind=EVENTS),
        "an event is longer than 33554432 bytes",
    ),
    "an endless event": (
        lambda m: Answer(body=itertools.repeat(b"data: a\n" * (MIB // 8)), kind=EVENTS),
        "an event is longer than 33554432 bytes",
    ),
    "endless comments": (
        lambda m: Answer(body=itertools.repeat(b": a\n" * (MIB // 4)), kind=EVENTS),
        "an event is longer than 33554432 bytes",
    ),
    "a deep result": (lambda m: answering(m, b"[" * 200 + b"]" * 200), "a message with more than 127 levels"),
    "a result that no decoder takes": (lambda m: answering(m, b"[" * 5000 + b"]" * 5000), "more than 127 levels"),
    "a deep event": (
        lambda m: Answer(body=[event(raw_answer(m, b"[" * 200 + b"]" * 200))], kind=EVENTS),
        "a message with more than 127 levels",
    ),
    "a million arrays": (
        lambda m: answering(m, b'{"content":[' + b"[]," * 1_000_000 + b"[]]}"),
        "a message of more than 500000 objects, arrays and texts",
    ),
    "a million texts": (
        lambda m: answering(m, b'{"content":[' + b'"ab" ,' * 1_000_000 + b"[]]}"),
        "a message of more than 500000 objects, arrays and texts",
    ),
    "an id beyond 64 bits": (
        lambda m: Answer(body=[b'{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}' % 2**70]),
        "the connection ended without an answer",
    ),
    "a result of another type": (lambda m: answering(m, b'"text"'), "Unexpected response type"),
    "a long error": (
        lambda m: as_json({"id": m["id"], "error": {"code": [1] * 10**5, "message": ["a"] * 10**5, "data": "a" * 9**6}}),
        "^Mcp error: \u2026: \u2026\\(\u2026\\)$",
    ),
    "an error for a terminal": (
        lambda m: as_json({"id": m["id"], "error": {"code": 1, "message": "a\x1b[2Jb\u202ec"}}),
        r"^Mcp error: 1: a\\x1b\[2Jb\\u202ec$",
    ),
    "an endless refusal": (lambda m: Answer(500, itertools.repeat(b"\x1b" * MIB)), r"HTTP status 500: (\\x1b){300}$"),
    "a compressed refusal": (
        lambda m: Answer(500, [gzip.compress(b"no")], headers={"content-encoding": "gzip"}),
        "HTTP status 500$",
    ),
    "a loop of redirects": (lambda m: Answer(307, headers={"location": "/mcp"}), "HTTP status 307"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_hostile_answer_fails_its_call_by_name(web, start, name):
    answer, reason = CALLS[name]
    server = await start()
    web.calls += [answer, answer, result("fine")] if "redirects" in name else [answer, result("fine")]
    with trio.fail_after(20), pytest.raises(McpError, match=reason):
        await server.call_tool("echo", {}, {})
    assert (await server.call_tool("echo", {}, {}))["content"][0]["text"] == "fine"


async def test_an_answer_that_drips_ends_in_time(web, start):
    server = await start(tool_timeout=0.3)
    web.calls += [lambda message: Answer(body=[b" ", trio.Event()]), result("fine")]
    with trio.fail_after(20), pytest.raises(McpError, match="timed out awaiting tools/call after 300ms"):
        await server.call_tool("echo", {}, {})
    assert (await server.call_tool("echo", {}, {}))["content"][0]["text"] == "fine"


def initialized(**more: Any) -> dict[str, Any]:
    return {"id": 0, "result": READY | more}


STARTS = {
    "a compressed handshake": (
        Answer(body=[gzip.compress(b"{}")], headers={"content-encoding": "gzip"}),
        "content-encoding gzip, which was not asked for",
    ),
    "a session that is not a header": (
        as_json(initialized(), **{"mcp-session-id": "caf\u00e9"}),
        "Mcp-Session-Id is not visible ASCII, or longer than 1024 characters",
    ),
    "a long session": (as_json(initialized(), **{"mcp-session-id": "s" * 2000}), "longer than 1024 characters"),
    "a drip": (Answer(body=[b" ", trio.Event()]), "request timed out after 0.3 seconds"),
}


@pytest.mark.parametrize("name", STARTS)
async def test_a_hostile_handshake_fails_the_server_by_name(web, start, name):
    web.first, reason = STARTS[name]
    with trio.fail_after(20):
        server = await start(startup_timeout=0.3 if name == "a drip" else 20)
    assert server.state == "failed"
    assert reason in server.reason


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ([{"name": str(number)} for number in range(100_000)], "tools/list lists more than 2000 tools"),
        ([{"name": "t", "inputSchema": {"a": "a" * 17 * MIB}}], "tools/list lists more than 16777216 bytes"),
    ],
    ids=["many", "huge"],
)
async def test_an_unbounded_list_fails_the_server_by_name(web, start, tools, reason):
    web.tools = tools
    assert reason in (await start()).reason


async def test_a_version_cannot_inject_headers(web, start):
    web.first = as_json(initialized(protocolVersion="1\r\nx-own: \u00e9"))
    server = await start()
    web.calls.append(result("fine"))
    await server.call_tool("echo", {}, {})
    assert web.sent("tools/call")[0].headers["mcp-protocol-version"] == "2025-06-18"


async def test_no_cookies_are_kept_and_no_compression_is_requested(web, start):
    web.first = as_json(initialized(), **{"set-cookie": "a=b"})
    server = await start(http_headers={"Accept-Encoding": "gzip"})
    assert server.state == "ready"
    for request in web.requests:
        assert "cookie" not in request.headers
        assert request.headers["accept-encoding"] == "identity"


async def test_a_stream_that_continues_after_the_answer_is_closed(web, start, monkeypatch):
    monkeypatch.setattr(streamable_http, "_SIDE_SECONDS", 0.05)
    left = trio.Event()

    def endless(message):
        try:
            yield event(raw_answer(message, b'{"content":[]}'))
            while True:
                yield event(b"{}")
        finally:
            left.set()

    server = await start()
    web.calls.append(lambda message: Answer(body=endless(message), kind=EVENTS))
    assert await server.call_tool("echo", {}, {}) == {"content": []}
    with trio.fail_after(20):
        while not left.is_set():
            await wait_all_tasks_blocked(0.01)


async def test_an_endless_answer_at_the_end_is_not_read(web, host):
    sent = []

    def body():
        while True:
            sent.append(1)
            yield b" " * MIB

    web.last = Answer(body=body())
    async with trio.open_nursery() as thread:
        servers = McpServers(thread, host, ServerOpener("/", {}, Warden()), {})
        servers.configure({"web": McpServerConfig(name="web", url=web.url)})
        await servers.settled()
        thread.cancel_scope.cancel()
    assert web.gone.is_set()
    assert len(sent) < 20


async def test_a_flood_of_requests_is_answered_a_few_at_a_time(web, start):
    web.side = Answer(body=[trio.Event()])
    web.first = as_json(initialized())
    web.stream = Answer(405)
    server = await start()
    web.calls.append(
        lambda message: as_events(
            *({"id": number, "method": "ping"} for number in range(500)),
            {"id": message["id"], "result": {"content": []}},
        )
    )
    assert await server.call_tool("echo", {}, {}) == {"content": []}
    await wait_all_tasks_blocked(0.05)
    assert len([request for request in web.requests if request.json and "method" not in request.json]) <= 16
