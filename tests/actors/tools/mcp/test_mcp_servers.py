"""The servers of a thread: start, failure, offers, elicitations, reload, sharing, and end."""

import pytest
import trio
from tests.rpc.mcp.played import ECHO, WRITE
from trio.testing import MockClock, wait_all_tasks_blocked

from spindle.actors.tools.mcp.servers import McpServers, SharedServers, UnknownServer
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.mcp import McpServerElicitationRequestResponse
from spindle.storage.config import McpServerConfig

from .conftest import Host


@pytest.fixture
def mock_clock():
    return MockClock()


def configs(*names, **settings):
    return {name: McpServerConfig(name=name, command="x", **settings) for name in names}


@pytest.fixture
def servers(nursery, host, opener):
    return McpServers(nursery, host, opener, {"name": "spindle"})


def offered(servers):
    return {space["name"]: [tool["name"] for tool in space["tools"]] for space in servers.offer().namespaces}


async def test_a_server_starts_and_offers_its_tools(servers, host, opener):
    servers.configure(configs("tiny"))
    assert host.emitted == []  # nothing before the request that starts the thread is answered
    played = await opener.opened()
    assert host.statuses() == [("tiny", "starting")]
    assert offered(servers) == {}
    await played.get_ready(ECHO, WRITE)
    await servers.settled()
    assert host.statuses() == [("tiny", "starting"), ("tiny", "ready")]
    assert offered(servers) == {"mcp__tiny__": ["echo", "write"]}


async def test_tools_come_in_pages(servers, opener):
    servers.configure(configs("tiny"))
    played = await opener.opened()
    await played.answer("initialize", {"capabilities": {"tools": {}}})
    await played.receive()
    await played.answer("tools/list", {"tools": [ECHO, "odd"], "nextCursor": "2"})
    asked = await played.answer("tools/list", {"tools": [WRITE, ECHO], "nextCursor": "2"})
    assert asked["params"]["cursor"] == "2"
    await servers.settled()
    assert offered(servers) == {"mcp__tiny__": ["echo", "write"]}


async def test_a_server_without_tools_is_not_asked_for_them(servers, host, opener):
    servers.configure(configs("tiny"))
    played = await opener.opened()
    await played.answer("initialize", {"capabilities": {"resources": {}}})
    await servers.settled()
    assert host.statuses()[-1] == ("tiny", "ready")


async def test_the_lists_of_the_configuration_filter_tools(servers, opener):
    servers.configure(configs("tiny", enabled_tools=("echo", "write"), disabled_tools=("write",)))
    await (await opener.opened()).get_ready(ECHO, WRITE, {"name": "other"})
    await servers.settled()
    assert offered(servers) == {"mcp__tiny__": ["echo"]}


async def test_a_disabled_server_is_not_started(servers, host, opener):
    servers.configure(configs("tiny", enabled=False))
    await servers.settled()
    await wait_all_tasks_blocked()
    assert (opener.started, host.emitted, servers.all()) == (0, [], [])


HANDSHAKE = "MCP client for `tiny` failed to start: MCP startup failed: handshaking with MCP server failed: "


async def test_failures_to_start(servers, host, opener):
    opener.broken["gone"] = "No such file or directory (os error 2)"
    servers.configure(configs("gone", "tiny", "we ird"))
    played = await opener.opened()
    request = await played.receive()
    await played.say(id=request["id"], error={"code": -32000, "message": "no"})
    await servers.settled()
    await wait_all_tasks_blocked()
    told = {e.name: e.error for e in host.emitted if e.status == "failed"}
    assert told == {
        "gone": "MCP client for `gone` failed to start: MCP startup failed: No such file or directory (os error 2)",
        "tiny": HANDSHAKE + "JSON-RPC error: -32000: no",
        "we ird": "MCP client for `we ird` failed to start: MCP startup failed: "
        "Invalid MCP server name 'we ird': must match pattern ^[a-zA-Z0-9_-]+$",
    }
    assert opener.running == 0
    assert servers.failed_required() is None
    with pytest.raises(UnknownServer, match="unknown MCP server 'tiny'"):
        servers.get("tiny")


async def test_a_server_that_ends_before_it_is_ready(servers, host, opener):
    servers.configure(configs("tiny", required=True))
    await (await opener.opened()).end()
    await servers.settled()
    await wait_all_tasks_blocked()
    assert host.emitted[-1].error == HANDSHAKE + "connection closed: initialize response"
    assert servers.failed_required() == (
        "required MCP servers failed to initialize: tiny: handshaking with MCP server failed: "
        "connection closed: initialize response"
    )


async def test_a_slow_server_is_waited_for_until_its_deadline(servers, host, opener, mock_clock, nursery):
    servers.configure(configs("tiny", startup_timeout=3.0))
    played = await opener.opened()
    await played.receive()
    done = []

    async def wait():
        await servers.settled()
        done.append(True)

    nursery.start_soon(wait)
    mock_clock.jump(2.9)
    await wait_all_tasks_blocked()
    assert done == []
    mock_clock.jump(0.2)
    await wait_all_tasks_blocked()
    assert done == [True]
    assert host.emitted[-1].error == (
        "MCP client for `tiny` timed out after 3 seconds. Add or adjust `startup_timeout_sec` in your config.toml:\n"
        "[mcp_servers.tiny]\nstartup_timeout_sec = XX"
    )
    assert opener.running == 0


async def test_a_changed_list_of_tools_is_offered(servers, opener):
    servers.configure(configs("tiny"))
    played = await opener.opened()
    await played.get_ready(ECHO)
    await servers.settled()
    before = servers.offer()
    assert servers.offer() is before
    await played.say(method="notifications/tools/list_changed")
    await played.answer("tools/list", {"tools": [WRITE]})
    await wait_all_tasks_blocked()
    assert offered(servers) == {"mcp__tiny__": ["write"]}
    await played.say(method="notifications/tools/list_changed")
    request = await played.receive()
    await played.say(id=request["id"], error={"code": 1, "message": "not now"})
    await wait_all_tasks_blocked()
    assert offered(servers) == {"mcp__tiny__": ["write"]}


async def test_reload_keeps_unchanged_servers(servers, host, opener):
    servers.configure(configs("gone", "stays", "changes"))
    for _ in range(3):
        await (await opener.opened()).get_ready(ECHO)
    await servers.settled()
    stays = servers.get("stays")
    host.emitted.clear()
    servers.configure(configs("stays") | configs("changes", tool_timeout=1.0) | configs("new"))
    for _ in range(2):
        await (await opener.opened()).get_ready(ECHO)
    await servers.settled()
    await wait_all_tasks_blocked()
    assert servers.get("stays") is stays
    assert set(offered(servers)) == {"mcp__changes__", "mcp__new__", "mcp__stays__"}
    assert sorted(host.statuses()) == [
        ("changes", "ready"),
        ("changes", "starting"),
        ("new", "ready"),
        ("new", "starting"),
    ]
    assert (opener.started, opener.running) == (5, 3)


async def test_reload_restarts_ended_servers(servers, opener):
    servers.configure(configs("tiny"))
    played = await opener.opened()
    await played.get_ready(ECHO)
    await servers.settled()
    await played.end()
    await wait_all_tasks_blocked()
    assert opener.running == 0
    servers.configure(configs("tiny"))
    await (await opener.opened()).get_ready(WRITE)
    await servers.settled()
    assert offered(servers) == {"mcp__tiny__": ["write"]}


async def test_a_server_ended_while_starting_is_cancelled(servers, host, opener):
    servers.configure(configs("tiny"))
    await opener.opened()
    servers.configure({})
    await wait_all_tasks_blocked()
    assert host.statuses() == [("tiny", "starting"), ("tiny", "cancelled")]
    assert opener.running == 0


async def test_the_end_of_the_thread_ends_its_servers(host, opener):
    async with trio.open_nursery() as thread:
        servers = McpServers(thread, host, opener, {})
        servers.configure(configs("ready", "starting"))
        await (await opener.opened()).get_ready()
        await opener.opened()
        await wait_all_tasks_blocked()
        assert opener.running == 2
        thread.cancel_scope.cancel()
    assert opener.running == 0


async def test_an_error_of_ours_ends_the_server_and_nothing_else(servers, host, opener, caplog, monkeypatch):
    def burst(*_):
        raise RuntimeError("a bug")

    servers.configure(configs("tiny"))
    tiny = await opener.opened()
    await tiny.get_ready(ECHO)
    servers.configure(configs("tiny", "other"))
    other = await opener.opened()
    await other.get_ready(ECHO)
    await servers.settled()
    monkeypatch.setattr(servers.get("tiny"), "notified", burst)
    await tiny.say(method="notifications/x")
    await wait_all_tasks_blocked()
    assert "error in the client of MCP server tiny" in caplog.text
    assert (servers.get("tiny").alive, servers.get("other").alive, opener.running) == (False, True, 1)


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        (
            {"message": "who?", "requestedSchema": {"type": "object", "properties": {"n": {}}}, "_meta": {"z": 1}},
            {
                "mode": "form",
                "_meta": {"z": 1},
                "message": "who?",
                "requestedSchema": {"type": "object", "properties": {"n": {}}},
            },
        ),
        (
            {"mode": "url", "message": "go", "url": "https://x.test/", "elicitationId": "e1"},
            {"mode": "url", "_meta": None, "message": "go", "url": "https://x.test/", "elicitationId": "e1"},
        ),
        (
            {"message": "sure?"},
            {
                "mode": "form",
                "_meta": None,
                "message": "sure?",
                "requestedSchema": {"type": "object", "properties": {}},
            },
        ),
    ],
)
async def test_a_question_of_a_server_reaches_the_user(servers, host, params, asked):
    host.answers.append(McpServerElicitationRequestResponse("accept", {"n": 1}, {"q": 1}))
    assert await servers.ask("tiny", params) == {"action": "accept", "content": {"n": 1}, "_meta": {"q": 1}}
    where = {"threadId": "thread-1", "turnId": "turn-1", "serverName": "tiny"}
    assert [unstructure(question) for question in host.asked] == [where | asked]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, {"action": "decline"}),
        (McpServerElicitationRequestResponse("decline", {"a": 1}, {"b": 1}), {"action": "decline"}),
        (McpServerElicitationRequestResponse("cancel"), {"action": "cancel"}),
        (McpServerElicitationRequestResponse("accept"), {"action": "accept", "content": {}}),
    ],
)
async def test_the_result_that_a_server_gets(servers, host, answer, told):
    host.answers.append(answer)
    assert await servers.ask("tiny", {"message": "x"}) == told


async def test_invalid_or_forbidden_elicitations_are_declined(servers, host):
    assert await servers.ask("tiny", {"mode": "url", "message": "x"}) == {"action": "decline"}
    host.approval_policy = "never"
    assert await servers.ask("tiny", {"message": "x"}) == {"action": "decline"}
    assert host.asked == []


async def test_a_shared_server_runs_once_and_ends_with_its_last_thread(nursery, opener):
    shared = SharedServers(nursery, opener, {})
    hosts = [Host(thread_id=f"thread-{n}") for n in range(3)]
    scopes = []

    async def thread(host, task_status):
        async with trio.open_nursery() as inner:
            servers = McpServers(inner, host, opener, {}, shared)
            servers.configure(configs("tiny", shared=True))
            scopes.append(inner.cancel_scope)
            task_status.started(servers)
            await trio.sleep_forever()

    first, second = [await nursery.start(thread, host) for host in hosts[:2]]
    played = await opener.opened()
    await played.get_ready(ECHO)
    await first.settled()
    await wait_all_tasks_blocked()
    assert first.get("tiny") is second.get("tiny")
    assert [host.statuses() for host in hosts[:2]] == [[("tiny", "starting"), ("tiny", "ready")]] * 2
    # a question while no call runs, and one while two calls run
    await played.say(id=9, method="elicitation/create", params={"message": "x"})
    assert (await played.receive())["result"] == {"action": "decline"}
    # a question while one of them calls
    nursery.start_soon(first.get("tiny").call_tool, "echo", {}, {}, second.ask)
    call = await played.receive()
    await played.say(id=10, method="elicitation/create", params={"message": "x"})
    await wait_all_tasks_blocked()
    assert [question.thread_id for question in hosts[1].asked] == ["thread-1"]
    # a question while both of them call
    nursery.start_soon(first.get("tiny").call_tool, "echo", {}, {}, first.ask)
    other_call = await played.receive()
    await played.say(id=11, method="elicitation/create", params={"message": "x"})
    assert (await played.receive())["result"] == {"action": "decline"}
    for made in (call, other_call):
        await played.say(id=made["id"], result={"content": []})
    await wait_all_tasks_blocked()
    scopes[0].cancel()
    await wait_all_tasks_blocked()
    assert (opener.started, opener.running) == (1, 1)
    scopes[1].cancel()
    await wait_all_tasks_blocked()
    assert opener.running == 0
    third = await nursery.start(thread, hosts[2])
    await (await opener.opened()).get_ready(WRITE)
    await third.settled()
    assert (opener.started, opener.running) == (2, 1)


async def test_optional_servers_are_waited_for_within_the_grace(nursery, host, opener, autojump_clock):
    servers = McpServers(nursery, host, opener, {})
    servers.configure({"slow": McpServerConfig(name="slow", command="x", startup_timeout=20)})
    await opener.opened()
    began = trio.current_time()
    await servers.settled(2.5)
    assert trio.current_time() - began == 2.5
    assert servers.all()[0].state == "starting"
    await servers.settled()
    assert trio.current_time() - began == 20


async def test_a_required_server_is_waited_for_without_the_grace(nursery, host, opener, autojump_clock):
    servers = McpServers(nursery, host, opener, {})
    servers.configure({"slow": McpServerConfig(name="slow", command="x", startup_timeout=20, required=True)})
    await opener.opened()
    began = trio.current_time()
    await servers.settled(2.5)
    assert trio.current_time() - began == 20
