"""A call of the model: the item, the approval, the request, the answer to the model, and an interrupt."""

import re
import sys

import orjson
import pytest
import trio
from tests.rpc.mcp.played import ECHO, WRITE
from trio.testing import MockClock, wait_all_tasks_blocked

from spindle.actors.tools.interface import Call, Permission
from spindle.actors.tools.mcp.results import CallOutcome, aborted_output, model_output
from spindle.actors.tools.mcp.servers import McpServers
from spindle.actors.tools.mcp.tools import find, functions, namespaces
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.mcp import McpServerElicitationRequestResponse
from spindle.storage.config import McpServerConfig

ACCEPT = McpServerElicitationRequestResponse("accept", {})
HI = {"content": [{"type": "text", "text": "hi"}]}


@pytest.fixture
def mock_clock():
    return MockClock()


class Turn:
    def __init__(self, servers, played, host, nursery):
        self.servers, self.played, self.host, self.nursery = servers, played, host, nursery
        self.outputs = []

    def start(self, tool="echo", arguments='{"text": "hi"}', namespace="mcp__tiny__", scope=None):
        run = find(self.servers, namespace, tool)
        assert run is not None

        async def work():
            with scope or trio.CancelScope():
                self.outputs.append(await run(Call(id="call-1", name="tool", payload=arguments), self.host))

        self.nursery.start_soon(work)

    async def output(self):
        await wait_all_tasks_blocked()
        (found,) = self.outputs
        self.outputs.clear()
        return found

    def item(self):
        (started, begun), (completed, ended) = self.host.items()
        assert (started, completed) == ("item/started", "item/completed")
        assert (begun.status, begun.id, ended.id) == ("inProgress", "call-1", "call-1")
        self.host.emitted.clear()
        return ended


@pytest.fixture
async def turn(nursery, host, opener):
    config = McpServerConfig(name="tiny", command="x", tool_timeout=60.0)
    servers = McpServers(nursery, host, opener, {})
    servers.configure({"tiny": config})
    played = await opener.opened()
    await played.get_ready(ECHO, WRITE)
    await servers.settled()
    await wait_all_tasks_blocked()
    host.emitted.clear()
    return Turn(servers, played, host, nursery)


async def test_a_call_carries_the_trace(turn):
    turn.host.trace = {"traceparent": "00-1-2-01", "tracestate": "a=b"}
    turn.start()
    meta = (await turn.played.receive())["params"]["_meta"]
    assert (meta["traceparent"], meta["tracestate"], meta["threadId"]) == ("00-1-2-01", "a=b", "thread-1")


async def test_a_call(turn, mock_clock):
    turn.start()
    asked = await turn.played.receive()
    mock_clock.jump(1.25)
    await turn.played.say(id=asked["id"], result=HI | {"_meta": {"m": 1}})
    assert await turn.output() == 'Wall time: 1.2500 seconds\nOutput:\n[{"type":"text","text":"hi"}]'
    assert asked["params"] == {
        "_meta": {
            "x-codex-turn-metadata": {
                "session_id": "thread-1",
                "thread_source": "user",
                "turn_id": "turn-1",
                "sandbox": "seatbelt" if sys.platform == "darwin" else "seccomp",
            },
            "threadId": "thread-1",
            "progressToken": asked["id"],
        },
        "name": "echo",
        "arguments": {"text": "hi"},
    }
    assert unstructure(turn.item()) == {
        "type": "mcpToolCall",
        "id": "call-1",
        "server": "tiny",
        "tool": "echo",
        "status": "completed",
        "arguments": {"text": "hi"},
        "result": {"content": HI["content"], "structuredContent": None, "_meta": {"m": 1}},
        "error": None,
        "durationMs": 1250,
    }
    assert turn.host.recorded == [
        (
            "event_msg",
            {
                "type": "mcp_tool_call_end",
                "call_id": "call-1",
                "invocation": {"server": "tiny", "tool": "echo", "arguments": {"text": "hi"}},
                "duration": {"secs": 1, "nanos": 250_000_000},
                "result": {"Ok": {"content": HI["content"], "_meta": {"m": 1}}},
            },
        )
    ]
    assert turn.host.asked == []


FAILED = "tool call error: tool call failed for `tiny/echo`\n\nCaused by:\n    "


async def fail(turn, **answer):
    turn.start()
    asked = await turn.played.receive()
    await turn.played.say(id=asked["id"], **answer)
    return await turn.output()


async def test_a_tool_error_is_a_result(turn):
    said = await fail(turn, result=HI | {"isError": True})
    assert said.endswith('[{"type":"text","text":"hi"}]')
    item = turn.item()
    assert (item.status, item.error, item.result.content) == ("failed", None, HI["content"])
    assert turn.host.recorded[0][1]["result"] == {"Ok": HI | {"isError": True}}


async def test_an_error_of_the_protocol_is_a_failure(turn):
    said = await fail(turn, error={"code": -32000, "message": "boom"})
    message = FAILED + "Mcp error: -32000: boom"
    assert orjson.loads(said.partition("Output:\n")[2]) == [{"type": "text", "text": message}]
    item = turn.item()
    assert (item.status, item.result, item.error.message) == ("failed", None, message)
    assert turn.host.recorded[0][1]["result"] == {"Err": message}


@pytest.mark.parametrize("result", [{"content": "x"}, {}])
async def test_an_answer_that_is_no_result_is_a_failure(turn, result):
    await fail(turn, result=result)
    assert turn.item().error.message == FAILED + "Unexpected response type"


async def test_the_model_gets_structured_content(turn):
    said = await fail(turn, result={"structuredContent": {"n": 1}})
    assert re.fullmatch(r'Wall time: \d\.\d{4} seconds\nOutput:\n\{"n":1\}', said)
    assert turn.item().result.structured_content == {"n": 1}


async def test_a_server_that_dies_in_the_middle_of_a_call(turn):
    turn.start()
    await turn.played.receive()
    await turn.played.end()
    await turn.output()
    assert turn.item().error.message == FAILED + "Transport closed"
    turn.start()  # and afterwards
    await turn.output()
    assert turn.item().error.message == FAILED + "Transport closed"


async def test_a_call_that_takes_too_long(turn, mock_clock):
    turn.start()
    await turn.played.receive()
    mock_clock.jump(60.1)
    assert (await turn.played.receive())["method"] == "notifications/cancelled"
    await turn.output()
    assert turn.item().error.message == FAILED + "timed out awaiting tools/call after 60s"


async def test_an_interrupted_call_is_cancelled_and_its_item_completed(turn, mock_clock):
    scope = trio.CancelScope()
    turn.start(scope=scope)
    await turn.played.receive()
    mock_clock.jump(0.25)
    scope.cancel()
    assert (await turn.played.receive())["method"] == "notifications/cancelled"
    item = turn.item()
    assert (item.status, item.error.message, item.duration_ms) == ("failed", "aborted by user after 0.2s", 250)
    assert turn.host.recorded[0][1]["result"] == {"Err": "aborted by user after 0.2s"}
    assert aborted_output(0.2) == '[{"type":"text","text":"aborted by user after 0.2s"}]'


async def test_arguments(turn):
    turn.start(arguments="{bad")
    assert (await turn.output()).startswith('Wall time: 0.0000 seconds\nOutput:\n[{"type":"text","text":"err: ')
    assert (turn.host.emitted, turn.host.recorded) == ([], [])
    turn.start(arguments="[1]")
    await turn.output()
    assert turn.item().error.message == FAILED + "MCP tool arguments must be a JSON object, got [1]"
    turn.start(arguments="")
    asked = await turn.played.receive()
    assert "arguments" not in asked["params"]
    await turn.played.say(id=asked["id"], result=HI)
    await turn.output()
    assert turn.item().arguments is None


async def test_progress(turn):
    turn.start()
    asked = await turn.played.receive()
    for said in ({"progress": 1, "total": 2, "message": "half"}, {"progress": 2, "total": 2}, {"progress": 3}):
        await turn.played.say(method="notifications/progress", params={"progressToken": asked["id"], **said})
    await wait_all_tasks_blocked()
    told = [unstructure(e) for e in turn.host.emitted if e.METHOD == "item/mcpToolCall/progress"]
    assert [one["message"] for one in told] == ["half", "2/2", "3"]
    assert {key: told[0][key] for key in ("threadId", "turnId", "itemId")} == {
        "threadId": "thread-1",
        "turnId": "turn-1",
        "itemId": "call-1",
    }


async def test_a_tool_that_needs_approval_waits_for_the_user(turn):
    scope = trio.CancelScope()
    turn.start("write", scope=scope)
    await wait_all_tasks_blocked()
    assert [method for method, _ in turn.host.items()] == ["item/started"]
    assert turn.host.asked[0].meta["tool_params"] == {"text": "hi"}
    scope.cancel()
    await wait_all_tasks_blocked()
    assert turn.item().error.message == "aborted by user after 0.0s"


async def test_an_accepted_call_is_made_and_the_user_s_time_does_not_count(turn, mock_clock):
    turn.host.answers.append(ACCEPT)
    turn.host.thinks = 60.0
    turn.start("write")
    await wait_all_tasks_blocked()
    mock_clock.jump(60.0)
    asked = await turn.played.receive()
    mock_clock.jump(0.5)
    await turn.played.say(id=asked["id"], result=HI)
    await turn.output()
    item = turn.item()
    assert (item.status, item.duration_ms) == ("completed", 500)
    turn.start("write")
    await wait_all_tasks_blocked()
    assert len(turn.host.asked) == 2  # once is once


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (McpServerElicitationRequestResponse("decline"), "user rejected MCP tool call"),
        (McpServerElicitationRequestResponse("cancel"), "user cancelled MCP tool call"),
        (None, "user rejected MCP tool call"),
    ],
)
async def test_a_refused_call_is_not_made(turn, mock_clock, answer, said):
    turn.host.answers.append(answer)
    turn.start("write")
    read = await turn.output()
    assert read == f'Wall time: 0.0000 seconds\nOutput:\n[{{"type":"text","text":"{said}"}}]'
    item = turn.item()
    assert (item.status, item.result, item.error.message, item.duration_ms) == ("failed", None, said, 0)


async def test_hooks_answer_for_the_user(turn, mock_clock):
    turn.host.permitted = Permission(False, "not that tool")
    turn.start("write")
    assert "not that tool" in await turn.output()
    assert turn.item().error.message == "not that tool"
    turn.host.permitted = Permission(True)
    turn.start("write")
    asked = await turn.played.receive()
    await turn.played.say(id=asked["id"], result=HI)
    await turn.output()
    assert turn.item().status == "completed"
    assert not turn.host.asked


async def test_hooks_get_successful_calls(turn):
    for result in (HI, HI | {"isError": True}):
        turn.start()
        asked = await turn.played.receive()
        await turn.played.say(id=asked["id"], result=result)
        await turn.output()
    assert turn.host.reports == [HI]


@pytest.mark.parametrize(("persist", "always"), [("session", []), ("always", [("tiny", "write")])])
async def test_a_tool_allowed_for_the_session_is_not_asked_about_again(turn, persist, always):
    turn.host.answers.append(McpServerElicitationRequestResponse("accept", {}, {"persist": persist}))
    for _ in range(2):
        turn.start("write")
        asked = await turn.played.receive()
        await turn.played.say(id=asked["id"], result=HI)
        await turn.output()
    assert len(turn.host.asked) == 1
    assert turn.host.always == always


async def test_a_server_asks_the_user_in_the_middle_of_a_call(turn, mock_clock):
    turn.start()
    call = await turn.played.receive()
    await turn.played.say(id=777, method="elicitation/create", params={"message": "who?"})
    await wait_all_tasks_blocked()
    mock_clock.jump(3600)
    await wait_all_tasks_blocked()
    assert (turn.outputs, turn.host.asked[0].message) == ([], "who?")
    await turn.played.say(id=call["id"], result=HI)
    assert (await turn.output()).startswith("Wall time: 3600.0000 seconds")


def test_images_make_the_output_a_list():
    content = [
        {"type": "text", "text": "see"},
        {"type": "image", "data": "AAAA", "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "mem://a", "text": "x"}},
    ]
    assert model_output(CallOutcome(result={"content": content}, seconds=0.5)) == [
        {"type": "input_text", "text": "Wall time: 0.5000 seconds\nOutput:"},
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "high"},
        {"type": "input_text", "text": '{"type":"resource","resource":{"uri":"mem://a","text":"x"}}'},
    ]


async def test_what_a_turn_offers_and_finds(turn, nursery, host, opener):
    names = [function["name"] for function in functions(turn.servers)]
    assert names == ["list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource"]
    assert [space["name"] for space in namespaces(turn.servers)] == ["mcp__tiny__"]
    assert all(find(turn.servers, None, name) for name in names)
    assert find(turn.servers, "mcp__tiny__", "nosuch") is None
    assert find(turn.servers, None, "echo") is None
    assert find(turn.servers, None, "mcp__tiny__echo") is None
    nobody = McpServers(nursery, host, opener, {})
    assert (functions(nobody), namespaces(nobody), find(nobody, None, names[0])) == ([], [], None)
