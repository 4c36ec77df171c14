"""MCP servers of threads: they start with a thread, are called by turns and clients, and end with it."""

import json
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import trio

from spindle import Elicitation
from spindle.actors.clients.methods import HANDLERS
from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import AskServers
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.turns.suspended import LOST
from spindle.actors.tools.interface import Call
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError
from spindle.rpc.protocol.mcp import McpResourceReadParams, McpServerToolCallParams

TINY = Path(__file__).parents[1] / "tools" / "mcp" / "tiny_server.py"


@pytest.fixture
def configure(tmp_path):
    """configure(name=habit, more=...) writes the config.toml of the home; returns its path."""
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / "config.toml"

    def write(more="", head="", **servers):
        text = head
        for name, habit in servers.items():
            args = ["-S", "-E", str(TINY), *([habit] if habit else [])]
            text += f'[mcp_servers.{name}]\ncommand = "{sys.executable}"\nargs = {args}\n{more}\n'
        file.write_text(text)
        return file

    return write


def call(name, arguments="{}", namespace="mcp__tiny__"):
    item = {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments}
    return item | ({} if namespace is None else {"namespace": namespace})


async def until(events, wanted):
    async for event in events:
        if wanted(event):
            return event
    raise AssertionError("the thread has ended")


def status(name, state):
    return lambda event: (
        getattr(event, "METHOD", "") == "mcpServer/startupStatus/updated"
        and ((event.name, event.status) == (name, state))
    )


def outputs(request):
    items = map(orjson.loads, request.input)
    return [item["output"] for item in items if item["type"] == "function_call_output"]


async def ask(runtime, method, params):
    """The answer to a client's request."""
    result = []

    async def work(reply, do):
        try:
            reply.resolve(await do())
        except RpcError as error:
            reply.reject(error)

    async with trio.open_nursery() as nursery:

        def send(reply):
            caller = SimpleNamespace(backend=runtime._backend, later=lambda out, do: nursery.start_soon(work, out, do))
            HANDLERS[method](caller, params, reply)

        result.append(await answer(send))
    return result[0]


async def refused(runtime, method, params):
    with pytest.raises((RpcError, ExceptionGroup)) as caught:
        await ask(runtime, method, params)
    error = caught.value
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, RpcError)
    return error


async def test_a_turn_waits_for_the_servers_and_calls_their_tools(opened, scripted, configure, lines):
    configure(tiny="")
    model = scripted([call("echo", '{"text": "hi"}')], ["done"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("go") as turn:
            seen = [event async for event in turn]
        shown = [event.item for event in seen if hasattr(event, "item") and event.item.type == "mcpToolCall"]
        assert [(item.tool, item.status) for item in shown] == [("echo", "inProgress"), ("echo", "completed")]
        tools = model.requests[0].raw.tools
        names = [tool.get("name") for tool in tools]
        assert names[2:5] == ["list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource"]
        assert names[-1] == "mcp__tiny__"
        (output,) = outputs(model.requests[1])
        assert output.startswith("Wall time: ")
        assert output.endswith('[{"type":"text","text":"hi"}]')
        assert "mcp_tool_call_end" in [line.get("type") for line in lines(thread)]


@pytest.mark.parametrize(
    ("harm", "said"), [("line", "the server wrote a line of more than 33554432 bytes"), ("deep", "more than 127 levels")]
)
async def test_a_hostile_server_fails_its_call_and_nothing_else(opened, scripted, tmp_path, harm, said):
    (tmp_path / "home").mkdir()
    args = ["-S", "-E", str(TINY.with_name("hostile_server.py")), harm]
    (tmp_path / "home/config.toml").write_text(
        f'[mcp_servers.tiny]\ncommand = "{sys.executable}"\nargs = {args}\ndefault_tools_approval_mode = "approve"\n'
    )
    model = scripted([call("harm")], ["done"], ["again"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("go") as turn:
            seen = [event async for event in turn]
        ended = [event.item for event in seen if event.METHOD == "item/completed" and event.item.type == "mcpToolCall"]
        assert [(item.tool, item.status) for item in ended] == [("harm", "failed")]
        assert said in ended[0].error.message
        assert said in outputs(model.requests[1])[0]
        assert (await thread.run("more")).text == "again"


async def test_notifications_of_servers_before_the_threads_answer_come_after_it(opened, configure):
    configure(tiny="", more="required = true")
    async with opened() as runtime, runtime.start_thread() as thread:
        events = thread.events()
        assert (await until(events, lambda event: event.METHOD.startswith("mcpServer"))).status == "starting"
        assert (await until(events, lambda event: event.METHOD.startswith("mcpServer"))).status == "ready"


async def test_a_thread_does_not_start_without_a_required_server(opened, configure):
    configure(tiny="short", more="required = true")
    async with opened() as runtime:
        with pytest.raises((RpcError, ExceptionGroup)) as caught:
            async with runtime.start_thread():
                pass
        assert "Fatal error: Failed to initialize session: required MCP servers failed to initialize: tiny" in repr(
            caught.value
        )
        assert runtime._backend.loaded() == []


@pytest.mark.parametrize(
    ("answer", "status", "mode", "said"),
    [
        (lambda asked: asked.accept(), "completed", None, '"text":"x"'),
        (lambda asked: asked.accept_for_session(), "completed", None, '"text":"x"'),
        (lambda asked: asked.accept_always(), "completed", "approve", '"text":"x"'),
        (lambda asked: asked.decline(), "failed", None, "user rejected MCP tool call"),
        (lambda asked: asked.decline("not today"), "failed", None, "user rejected MCP tool call: not today"),
        (lambda asked: asked._asked.answer({"action": "nonsense"}), "failed", None, "user rejected MCP tool call"),
    ],
)
async def test_the_user_is_asked_about_a_tool_that_changes_things(
    opened, scripted, configure, answer, status, mode, said
):
    file = configure(head='approval_policy = "on-request"\n# mine\n', tiny="")
    model = scripted([call("write", '{"text": "x"}')], ["done"])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        async for event in turn:
            if isinstance(event, Elicitation):
                assert (event.server, event.tool, event.arguments, event.schema) == ("tiny", "write", {"text": "x"}, None)
                assert str(event) == "to call the tool `write(text='x')` of tiny"
                answer(event)
            elif hasattr(event, "item") and event.item.type == "mcpToolCall" and event.item.status != "inProgress":
                assert event.item.status == status
        assert said in outputs(model.requests[-1])[0]
    text = file.read_text()
    tools = tomllib.loads(text)["mcp_servers"]["tiny"].get("tools", {})
    assert tools.get("write", {}).get("approval_mode") == mode
    assert "# mine" in text


@pytest.mark.parametrize(
    ("answer", "status", "result"),
    [
        (lambda asked: asked.accept({"name": "me"}), "completed", {"action": "accept", "content": {"name": "me"}}),
        (lambda asked: asked.decline("no"), "completed", {"action": "decline"}),
        (lambda asked: asked.cancel(), "interrupted", None),
    ],
)
async def test_a_program_answers_what_a_server_asks(opened, scripted, configure, answer, status, result):
    configure(tiny="", more='default_tools_approval_mode = "approve"')
    model = scripted([call("echo", '{"text": "ask"}')], ["done"])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        with trio.fail_after(10):
            async for event in turn:
                if isinstance(event, Elicitation):
                    assert (event.server, event.tool, event.message) == ("tiny", None, "Who?")
                    assert event.schema is not None
                    assert event.schema["required"] == ["name"]
                    answer(event)
        assert turn.result.status == status
    (output,) = outputs(model.requests[-1].raw)
    if result is None:
        assert "aborted by user" in output
    else:
        assert json.loads(json.loads(output.split("Output:\n")[1])[0]["text"]) == result


async def test_a_tools_approval_may_cancel_the_turn(opened, scripted, configure, lines):
    configure(head='approval_policy = "on-request"\n', tiny="")
    async with opened(scripted([call("write")])) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        async for event in turn:
            if isinstance(event, Elicitation):
                event.cancel()
        assert turn.result.status == "interrupted"
        (end,) = [line for line in lines(thread) if line.get("type") == "mcp_tool_call_end"]
        assert end["result"]["Err"].startswith("aborted by user")


async def test_a_turn_interrupted_while_servers_start_keeps_its_input(opened, configure, lines):
    configure(tiny="silent")
    async with opened() as runtime, runtime.start_thread() as thread:
        async with thread.turn("remember this") as turn:
            seen = []
            async for event in turn:
                seen.append(event.METHOD)
                if event.METHOD == "turn/started":
                    await turn.interrupt()
        assert turn.result is not None
        assert turn.result.status == "interrupted"
        assert [method for method in seen if method.startswith("item/")] == ["item/started", "item/completed"]
        kept = [line for line in lines(thread) if line.get("type") == "user_message"]
        assert [line["message"] for line in kept] == ["remember this"]
        told = [line for line in lines(thread) if line["line"] == "response_item" and line.get("role") == "user"]
        assert "remember this" in [part["text"] for item in told for part in item["content"]]


async def test_an_interrupted_call_leaves_its_item_and_its_output(opened, scripted, configure, lines):
    configure(head='approval_policy = "on-request"\n', tiny="")
    model = scripted([call("write")], ["after"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("go") as turn:
            async for event in turn:
                if isinstance(event, Elicitation):
                    await turn.interrupt()
        (end,) = [line for line in lines(thread) if line.get("type") == "mcp_tool_call_end"]
        assert end["result"]["Err"].startswith("aborted by user")
        await thread.run("again")
        assert outputs(model.requests[-1])[0].startswith('[{"type":"text","text":"aborted by user after ')


@pytest.mark.parametrize(("more", "alone"), [("", True), ("supports_parallel_tool_calls = true", False)])
async def test_a_servers_tools_are_called_one_at_a_time(opened, actor, configure, more, alone):
    configure(tiny="", more=more)
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("go")
        servers = actor(runtime, thread.id).parts.servers
        asked = Call(id="c", namespace="mcp__tiny__", name="echo", payload="{}")
        assert servers.find(asked).exclusive(asked) is alone
        resources = next(tool for tool in servers.functions() if tool.name == "list_mcp_resources")
        assert not resources.exclusive(asked)


async def test_a_reload_reaches_the_next_turn(opened, scripted, configure):
    configure(tiny="")
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        configure(other="")
        await thread.run("two")
        await ask(runtime, "config/mcpServer/reload", None)
        await thread.run("three")
    assert [request.raw.tools[-1]["name"] for request in model.requests] == ["mcp__tiny__", "mcp__tiny__", "mcp__other__"]


async def test_a_client_calls_a_tool_and_reads_a_resource(opened, configure):
    configure(tiny="")
    async with opened() as runtime, runtime.start_thread() as thread:
        params = McpServerToolCallParams(thread.id, "tiny", "echo", {"text": "hi"})
        assert (await ask(runtime, "mcpServer/tool/call", params)).content == [{"type": "text", "text": "hi"}]
        for thread_id in (thread.id, None):
            reading = McpResourceReadParams(thread_id, server="tiny", uri="mem://a")
            assert (await ask(runtime, "mcpServer/resource/read", reading)).contents[0]["text"] == "body"
        params = McpServerToolCallParams(thread.id, "nobody", "echo")
        assert (await refused(runtime, "mcpServer/tool/call", params)).code == INTERNAL_ERROR


async def test_a_request_to_servers_is_refused_when_the_thread_ends(opened):
    async with opened() as runtime:
        asked = trio.Event()

        async def work(servers):
            asked.set()
            await trio.sleep_forever()

        async def client(thread_id):
            with pytest.raises(Exception, match="ended"):
                await answer(
                    lambda reply: runtime._backend.registry.route(ToThread(thread_id, AskServers(reply=reply, work=work)))
                )

        async with trio.open_nursery() as nursery, runtime.start_thread() as thread:
            nursery.start_soon(client, thread.id)
            await asked.wait()


async def test_threads_share_servers_that_are_shared(opened, configure, witness):
    configure(tiny="", more="shared = true")
    async with opened() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as one, runtime.start_thread() as two:
            await one.run("x")
            await two.run("x")
            shared = runtime._backend.services.shared_servers
            assert [(entry.users, entry.server.state) for entry in shared._running] == [(2, "ready")]
        await seen.next("thread/closed")
        await seen.next("thread/closed")
        assert shared._running == []


async def test_a_thread_without_servers_offers_no_resource_functions(opened, scripted):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("x")
        servers = runtime._backend.registry._actors[thread.id].parts.servers
        assert isinstance(servers, ThreadServers)
        assert servers.functions() == []
        assert "list_mcp_resources" not in [tool.get("name") for tool in model.requests[0].raw.tools]


@pytest.mark.parametrize(
    ("label", "status"), [("Allow", "completed"), ("Cancel", "failed"), ("else", "failed"), (None, "failed")]
)
async def test_without_elicitations_a_call_is_approved_by_a_question(opened, scripted, configure, actor, label, status):
    configure(tiny="", more='default_tools_approval_mode = "prompt"', head="features.tool_call_mcp_elicitation = false\n")
    model = scripted([call("echo", '{"text": "hi"}')], ["done"])
    asked: list[Any] = []

    async def answer_it(question):
        [opened_] = actor(runtime, thread.id).core.questions.values()
        asked.append(opened_)
        [one] = opened_.params.questions
        opened_.answer(None if label is None else {"answers": {one.id: {"answers": [label]}}})

    async with opened(model) as runtime, runtime.start_thread(on_question=answer_it) as thread, thread.turn("go") as turn:
        seen = [event async for event in turn]
    items = [event.item for event in seen if hasattr(event, "item") and event.item.type == "mcpToolCall"]
    assert items[-1].status == status
    [question] = asked
    assert question.method == "item/tool/requestUserInput"
    assert question.params.questions[0].id == "mcp_tool_call_approval_c"
    assert question.params.questions[0].question == 'Allow the tiny MCP server to run tool "echo"?'


async def test_a_call_whose_server_had_asked_when_the_process_ended_is_answered_and_the_turn_goes_on(
    opened, scripted, configure
):
    configure(tiny="", more='default_tools_approval_mode = "approve"')
    asking = scripted([call("echo", '{"text": "ask"}')])
    async with opened(asking) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        await until(turn, lambda event: isinstance(event, Elicitation))
        await runtime._backend.registry.shut_down()
    model = scripted(["done"])
    async with opened(model) as runtime, runtime.resume_thread(thread.id) as again:
        assert again.info.thread.turns[-1].status == "inProgress"
        ended = await until(again.events(), lambda event: getattr(event, "METHOD", "") == "turn/completed")
        assert (ended.turn.id, ended.turn.status) == (turn.id, "completed")
    assert outputs(model.requests[0]) == [LOST]
