"""Hostile servers on standard input and output: the call or the start fails with a reason, and nothing else."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from spindle.actors.tools.commands.process import Warden
from spindle.actors.tools.mcp import server_process
from spindle.actors.tools.mcp.calls import ItemReporter
from spindle.actors.tools.mcp.opening import ServerOpener
from spindle.actors.tools.mcp.servers import McpServers
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.protocol.items import McpToolCallItem
from spindle.storage.config import McpServerConfig

PATIENCE = 30
SCRIPT = Path(__file__).with_name("hostile_server.py")


@pytest.fixture
def start(nursery, host, tmp_path, monkeypatch):
    """start(harm) -> the thread's servers with the only one started or failed."""
    monkeypatch.setattr(server_process, "GRACE_SECONDS", 0.05)  # those that write without end do not end by themselves

    async def begin(harm):
        servers = McpServers(nursery, host, ServerOpener(str(tmp_path), os.environ, Warden()), {"name": "spindle"})
        args = ("-S", "-E", str(SCRIPT), harm)
        servers.configure({"h": McpServerConfig(name="h", command=sys.executable, args=args, startup_timeout=PATIENCE)})
        with trio.fail_after(PATIENCE):
            await servers.settled()
        return servers

    return begin


async def call(servers, tool, progress=None):
    with trio.fail_after(PATIENCE):
        result = await servers.get("h").call_tool(tool, {}, {}, servers.ask, progress)
    return "".join(part["text"] for part in result["content"])


def logged(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("harm", "reason", "lives"),
    [
        ("line", "the server wrote a line of more than 33554432 bytes", False),
        ("long line", "the server wrote a line of more than 33554432 bytes", False),
        ("deep", "a message with more than 127 levels", True),
        ("wide", "a message of more than 500000 objects, arrays and texts", True),
        ("half", "this is not a message: ", False),
    ],
)
async def test_a_hostile_answer_fails_its_call_by_name(start, harm, reason, lives):
    servers = await start(harm)
    with pytest.raises(McpError, match=reason):
        await call(servers, "harm")
    if lives:
        assert (await call(servers, "fine")).startswith("fine")
    else:
        with trio.fail_after(PATIENCE):
            while servers.all()[0].alive:
                await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("start line", "the server wrote a line of more than 33554432 bytes"),
        ("start pages", "tools/list lists more than 1000 pages"),
        ("start many", "tools/list lists more than 2000 tools"),
        ("start schema", "a message of more than 500000 objects, arrays and texts"),
    ],
)
async def test_a_hostile_start_fails_the_server_by_name(start, harm, reason):
    (server,) = (await start(harm)).all()
    assert server.state == "failed"
    assert reason in server.reason


async def test_tools_without_a_usable_name_are_left_out(start, caplog):
    (server,) = (await start("start names")).all()
    assert [tool["name"] for tool in server.tools] == ["harm", "fine"]
    assert len(server.instructions) == 64 * 1024
    assert "MCP server h: 3 tools without a name, or with one of more than 256 characters, are left out" in logged(caplog)


@pytest.mark.parametrize("harm", ["errors", "noise", "log"])
async def test_the_log_has_few_lines_of_a_server_and_none_that_look_like_ours(start, caplog, harm):
    caplog.set_level(logging.DEBUG, "spindle")
    servers = await start(harm)
    await call(servers, "harm")
    assert (await call(servers, "fine")).startswith("fine")
    lines = [line for line in logged(caplog) if line.startswith("MCP server h")]
    assert 0 < len(lines) <= 110
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 6000
    assert not [line for line in logged(caplog) if line.startswith("ERROR")]


async def test_a_flood_of_progress_becomes_a_few_short_notifications(start, host):
    servers = await start("progress")
    reporter = ItemReporter(host, McpToolCallItem("i", "h", "harm", "inProgress", {}))
    async with reporter:
        await call(servers, "harm", reporter.progress)
    told = [event.message for event in host.emitted if event.METHOD == "item/mcpToolCall/progress"]
    assert told[-1] == "last"
    assert len(told) < 500
    assert max(map(len, told)) < 2000
    assert not any("\x1b" in said for said in told)


@pytest.mark.parametrize("harm", ["ids", "deep question"])
async def test_only_an_answer_with_the_id_itself_answers_a_request(start, harm):
    servers = await start(harm)
    assert await call(servers, "harm") == ""
    assert (await call(servers, "fine")).startswith("fine")


async def test_a_flood_of_requests_delays_nothing(start):
    servers = await start("pings")
    assert await call(servers, "harm") == ""
    assert (await call(servers, "fine")).startswith("fine")


async def test_an_oversized_elicitation_is_declined(start, host):
    servers = await start("question")
    assert await call(servers, "harm") == '{"action": "decline"}'
    assert host.asked == []


async def test_a_list_that_always_changes_is_fetched_at_intervals(start):
    servers = await start("changes")
    await call(servers, "harm")
    answers = [await call(servers, "fine") for _ in range(200)]
    listed = int(answers[-1].split()[1]) + 1 - len(answers)
    assert listed < 50


META: dict[str, Any] = {"codex_approval_kind": "mcp_tool_call", "Persist": ["always"], "tool_title": "t", "own": 1}


@pytest.mark.parametrize("mode", ["form", "url"])
async def test_an_elicitation_cannot_look_like_our_approval_request(nursery, host, mode):
    servers = McpServers(nursery, host, ServerOpener("/", {}, Warden()), {})
    host.answers.append(None)
    where = {"url": "https://x.test/", "elicitationId": "e"} if mode == "url" else {}
    await servers.ask("h", {"message": "m\x1b[2J", "mode": mode, "_meta": META, **where})
    (asked,) = host.asked
    assert asked.meta == {"own": 1}
    assert asked.message == "m\\x1b[2J"
