"""Resources for the model, and requests of clients about servers."""

import pytest
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.interface import Call
from spindle.actors.tools.mcp.opening import ServerOpener
from spindle.actors.tools.mcp.resources import call_resource_tool
from spindle.actors.tools.mcp.servers import McpServers
from spindle.actors.tools.mcp.status import (
    call_tool_directly,
    list_status,
    read_resource_of_thread,
    read_resource_without_thread,
)
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, RpcError
from spindle.rpc.protocol.mcp import ListMcpServerStatusParams, McpResourceReadParams, McpServerToolCallParams
from spindle.storage.config import McpServerConfig

INFO = {"name": "spindle", "version": "1"}


@pytest.fixture
def opening(tmp_path):
    return ServerOpener(str(tmp_path), {}, Warden())


@pytest.fixture
async def servers(nursery, host, opening, tiny):
    found = McpServers(nursery, host, opening, INFO)
    found.configure({"tiny": tiny(), "other": tiny(name="other")})
    await found.settled()
    host.emitted.clear()
    return found


A = '{"server":"%s","uri":"mem://a","name":"a"}'
T = '{"server":"%s","uriTemplate":"mem://{x}","name":"t"}'


@pytest.mark.parametrize(
    ("name", "arguments", "server", "said"),
    [
        ("list_mcp_resources", "", "codex", f'{{"resources":[{A % "other"},{A % "tiny"}]}}'),
        ("list_mcp_resources", '{"server": " "}', "codex", f'{{"resources":[{A % "other"},{A % "tiny"}]}}'),
        ("list_mcp_resources", '{"server": "tiny"}', "tiny", f'{{"server":"tiny","resources":[{A % "tiny"}]}}'),
        ("list_mcp_resource_templates", "{}", "codex", f'{{"resourceTemplates":[{T % "other"},{T % "tiny"}]}}'),
        (
            "list_mcp_resource_templates",
            '{"server": "tiny", "cursor": "x"}',
            "tiny",
            f'{{"server":"tiny","resourceTemplates":[{T % "tiny"}]}}',
        ),
        (
            "read_mcp_resource",
            '{"server": "tiny", "uri": "mem://a"}',
            "tiny",
            '{"server":"tiny","uri":"mem://a","contents":[{"uri":"mem://a","text":"body"}]}',
        ),
    ],
)
async def test_the_answers_for_the_model(servers, host, name, arguments, server, said):
    assert await call_resource_tool(servers, name, Call(id="call-1", name="tool", payload=arguments), host) == said
    (_, begun), (_, ended) = host.items()
    assert (begun.server, begun.tool, begun.status) == (server, name, "inProgress")
    assert (ended.status, ended.result.content) == ("completed", [{"type": "text", "text": said}])
    assert host.recorded[0][1]["type"] == "mcp_tool_call_end"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("list_mcp_resources", '{"server": "nope"}', "resources/list failed: unknown MCP server 'nope'"),
        ("list_mcp_resources", '{"cursor": "x"}', "cursor can only be used when a server is specified"),
        ("read_mcp_resource", '{"server": "nope", "uri": "u"}', "resources/read failed: unknown MCP server 'nope'"),
    ],
)
async def test_failures_are_answered(servers, host, name, arguments, said):
    assert await call_resource_tool(servers, name, Call(id="call-1", name="tool", payload=arguments), host) == said
    ended = host.items()[1][1]
    assert (ended.status, ended.error.message) == ("failed", said)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read_mcp_resource", '{"server": "tiny"}', "failed to parse function arguments: missing field `uri`"),
        ("read_mcp_resource", "{}", "failed to parse function arguments: missing field `server`"),
        ("list_mcp_resources", "[]", "failed to parse function arguments: expected an object"),
        ("list_mcp_resources", '{"server": 5}', "failed to parse function arguments: invalid type for `server`"),
        ("list_mcp_resources", "{", "failed to parse function arguments: "),
    ],
)
async def test_invalid_arguments_make_no_item(servers, host, name, arguments, said):
    assert (await call_resource_tool(servers, name, Call(id="call-1", name="tool", payload=arguments), host)).startswith(said)
    assert (host.emitted, host.recorded) == ([], [])


def page(**params):
    return ListMcpServerStatusParams(**params)


def resource(server, uri="mem://a", **params):
    return McpResourceReadParams(server=server, uri=uri, **params)


async def nothing(config, server):
    return "unsupported"


async def test_the_status_of_servers_without_a_thread(opening, tiny):
    listed = await list_status({"tiny": tiny(disabled_tools=("write",))}, page(), opening, INFO, nothing)
    assert unstructure(listed) == {
        "data": [
            {
                "name": "tiny",
                "environmentId": None,
                "runtimeStatus": None,
                "pluginId": None,
                "httpOrigin": None,
                "serverInfo": {
                    "name": "tiny", "title": None, "version": "1", "description": None, "icons": None, "websiteUrl": None,
                },
                "serverCapabilities": {"tools": {}, "resources": {}},
                "toolListMeta": None,
                "tools": {
                    "echo": {
                        "name": "echo",
                        "description": "says it again",
                        "inputSchema": {"type": "object"},
                        "annotations": {"readOnlyHint": True},
                    }
                },
                "toolsError": None,
                "resources": [{"uri": "mem://a", "name": "a"}],
                "resourceTemplates": [{"uriTemplate": "mem://{x}", "name": "t"}],
                "authStatus": "unsupported",
            }
        ],
        "nextCursor": None,
    }
    (less,) = (await list_status({"tiny": tiny()}, page(detail="toolsAndAuthOnly"), opening, INFO, nothing)).data
    assert (sorted(less.tools), less.resources, less.resource_templates) == (["echo", "write"], (), ())


async def test_status_comes_in_pages_by_name(opening, tiny):
    configs = {name: tiny(name=name, enabled=False) for name in ("cee", "aye", "bee")}
    seen, cursor = [], None
    while True:
        listed = await list_status(configs, page(limit=2, cursor=cursor), opening, INFO, nothing)
        seen.append([status.name for status in listed.data])
        if (cursor := listed.next_cursor) is None:
            break
    assert seen == [["aye", "bee"], ["cee"]]
    assert len((await list_status(configs, page(limit=0), opening, INFO, nothing)).data) == 1
    assert (await list_status(configs, page(cursor="3"), opening, INFO, nothing)).data == []


@pytest.mark.parametrize(
    ("cursor", "said"),
    [
        ("x", "invalid cursor: x"),
        ("-1", "invalid cursor: -1"),
        ("", "invalid cursor: "),
        ("²", "invalid cursor: ²"),
        ("9", "cursor 9 exceeds total MCP servers 0"),
    ],
)
async def test_invalid_cursors(opening, cursor, said):
    with pytest.raises(RpcError) as caught:
        await list_status({}, page(cursor=cursor), opening, INFO, nothing)
    assert (caught.value.code, caught.value.message) == (INVALID_REQUEST, said)


async def test_a_failed_server_is_listed_with_empty_lists(opening, tiny):
    configs = {"dead": McpServerConfig(name="dead", command="/nonexistent"), "short": tiny("short", name="short")}
    listed = await list_status(configs, page(), opening, INFO, nothing)
    assert [(status.name, status.tools, status.resources) for status in listed.data] == [
        ("dead", {}, ()),
        ("short", {}, ()),
    ]


async def test_a_resource_with_and_without_a_thread(servers, opening, tiny):
    contents = [{"uri": "mem://a", "text": "body"}]
    assert (await read_resource_of_thread(servers, resource("tiny"))).contents == contents
    alone = await read_resource_without_thread({"tiny": tiny()}, resource("tiny"), opening, INFO)
    assert alone.contents == contents
    for asking in (
        read_resource_of_thread(servers, resource("nope")),
        read_resource_without_thread({}, resource("nope"), opening, INFO),
        read_resource_without_thread({"nope": tiny(name="nope", enabled=False)}, resource("nope"), opening, INFO),
    ):
        with pytest.raises(RpcError) as caught:
            await asking
        assert (caught.value.code, caught.value.message) == (INTERNAL_ERROR, "unknown MCP server 'nope'")


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        ("bare", "resources/read failed for `tiny` (mem://a): Mcp error: -32601: no resources/read"),
        (
            "short",
            "MCP client for `tiny` failed to start: MCP startup failed: handshaking with MCP server failed: "
            "connection closed: initialize response",
        ),
    ],
)
async def test_a_resource_that_cannot_be_read(opening, tiny, habit, said):
    with pytest.raises(RpcError) as caught:
        await read_resource_without_thread({"tiny": tiny(habit)}, resource("tiny"), opening, INFO)
    assert (caught.value.code, caught.value.message) == (INTERNAL_ERROR, said)


def direct(**changes):
    return McpServerToolCallParams(**{"thread_id": "thread-1", "server": "tiny", "tool": "echo"} | changes)


async def test_a_call_by_the_client_itself(nursery, host, opener):
    servers = McpServers(nursery, host, opener, INFO)
    servers.configure({"tiny": McpServerConfig(name="tiny", command="x")})
    played = await opener.opened()
    found = []

    async def call():
        found.append(await call_tool_directly(servers, direct(meta={"k": 1, "threadId": "mine"})))

    nursery.start_soon(call)
    await played.get_ready()  # a call waits for a server that is starting
    request = await played.receive()
    assert request["params"] == {
        "_meta": {"k": 1, "threadId": "thread-1", "progressToken": request["id"]},
        "name": "echo",
    }
    await played.say(id=request["id"], result={"content": [1], "isError": True, "_meta": {"m": 1}})
    await wait_all_tasks_blocked()
    assert [unstructure(answer) for answer in found] == [{"content": [1], "isError": True, "_meta": {"m": 1}}]
    assert (host.items(), host.recorded, host.asked) == ([], [], [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"server": "nope"}, "unknown MCP server 'nope'"),
        ({"arguments": [1]}, "tool call failed for `tiny/echo`: MCP tool arguments must be a JSON object, got [1]"),
        ({"meta": [1]}, "tool call failed for `tiny/echo`: MCP tool request _meta must be a JSON object, got [1]"),
        ({"arguments": {"text": "die"}}, "tool call failed for `tiny/echo`: Transport closed"),
    ],
)
async def test_calls_by_the_client_that_fail(servers, changes, said):
    with pytest.raises(RpcError) as caught:
        await call_tool_directly(servers, direct(**changes))
    assert (caught.value.code, caught.value.message) == (INTERNAL_ERROR, said)
