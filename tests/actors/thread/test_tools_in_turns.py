"""A thread's tools: which are offered, sessions that outlive turns, and commands of the user."""

import json
import os

import pytest
import trio

from spindle import TurnFailed
from spindle.actors.settings.catalogue import ModelInfo
from spindle.actors.thread.messages import EndTerminal, EndTerminals, ListTerminals, RunScript
from spindle.actors.tools.interface import Call
from spindle.actors.turn import sampling
from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.threads import ThreadStartParams
from spindle.rpc.protocol.turns import ItemCompletedNotification, TurnCompletedNotification

FREE = [("sandbox_mode", "danger-full-access"), ("approval_policy", "never")]
OTHER = {"model": "unknown"}


def call(name, arguments, id="c1"):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def execute(script, **more):
    return call("exec_command", {"cmd": script, "login": False, "yield_time_ms": 250, **more})


def patch(text, id):
    return {"type": "custom_tool_call", "call_id": id, "name": "apply_patch", "input": text}


async def ask(runtime, thread, message):
    return await runtime._backend.registry._actors[thread.id].mailbox.ask(message)


async def item(events, id):
    async for event in events:
        if isinstance(event, ItemCompletedNotification) and event.item.id == id:
            return event.item
    raise AssertionError("the thread has ended")


@pytest.fixture
def threads(opened, scripted):
    """threads(*answers, config) -> a runtime to enter and its model."""

    def open_(*answers, config=FREE):
        model = scripted(*answers)
        return opened(model, config=config), model

    return open_


async def test_a_session_that_ends_between_turns_is_completed_and_recorded(threads, lines, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    opening, _ = threads([execute(f"cat {tmp_path}/fifo")])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        assert not [line for line in lines(thread) if line.get("type") == "exec_command_end"]
        await trio.to_thread.run_sync((tmp_path / "fifo").write_text, "late\n")
        ended = await item(thread.events(), "c1")
        assert (ended.status, ended.aggregated_output) == ("completed", "late\n")
        [kept] = [line for line in lines(thread) if line.get("type") == "exec_command_end"]
        assert kept["aggregated_output"] == "late\n"


async def test_the_end_of_the_thread_ends_its_sessions_and_records_that(threads, witness, lines, tmp_path):
    opening, _ = threads([execute("sleep 1000")])
    async with opening as runtime:
        ended = witness(runtime)
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
            [terminal] = await ask(runtime, thread, lambda reply: ListTerminals(reply=reply))
            os.kill(terminal.os_pid, 0)
        await ended.next("thread/closed")
        with pytest.raises(ProcessLookupError):
            os.kill(terminal.os_pid, 0)
        [kept] = [line for line in lines(thread) if line.get("type") == "exec_command_end"]
        assert (kept["status"], kept["exit_code"]) == ("failed", -1)


async def test_sessions_are_listed_and_ended(threads, tmp_path):
    opening, _ = threads([execute("sleep 1000"), {**execute("sleep 1001"), "call_id": "c2"}])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        assert await ask(runtime, thread, lambda reply: ListTerminals(reply=reply)) == []
        await thread.run("go")
        first, second = await ask(runtime, thread, lambda reply: ListTerminals(reply=reply))
        assert {first.item_id, second.item_id} == {"c1", "c2"}
        end = lambda reply: EndTerminal(reply=reply, process_id=first.process_id)  # noqa: E731
        assert await ask(runtime, thread, end)
        assert not await ask(runtime, thread, end)
        await ask(runtime, thread, lambda reply: EndTerminals(reply=reply))
        assert await ask(runtime, thread, lambda reply: ListTerminals(reply=reply)) == []


async def test_a_command_of_the_user_is_a_turn_without_a_request_to_the_model(threads, lines, tmp_path):
    opening, model = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await ask(runtime, thread, lambda reply: RunScript(reply=reply, script="echo mine > made; echo hi"))
        async for event in thread.events():
            if isinstance(event, TurnCompletedNotification):
                assert event.turn.status == "completed"
                break
        assert (tmp_path / "made").read_text() == "mine\n"
        assert not model.requests
        await thread.run("what was that?")
        [told] = [text for text in model.texts[0] if text.startswith("<user_shell_command>")]
        assert "Exit code: 0" in told
        assert "\nhi\n" in told
        [kept] = [line for line in lines(thread) if line.get("type") == "exec_command_end"]
        assert kept["source"] == "user_shell"


async def test_a_command_of_the_user_joins_a_running_turn_and_its_output_is_sent_at_once(threads, tmp_path):
    go = trio.Event()
    opening, model = threads(["one", go], ["two"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        await ask(runtime, thread, lambda reply: RunScript(reply=reply, script="echo joined"))
        async for event in turn:
            if isinstance(event, ItemCompletedNotification) and event.item.type == "commandExecution":
                assert event.turn_id == turn.id
                go.set()
        assert turn.text == "two"
        assert len(model.requests) == 2
        assert "\njoined\n" in model.texts[1][-1]


async def test_a_turn_waits_for_the_users_command_and_then_sends_its_output(threads, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    go = trio.Event()
    opening, model = threads(["one", go], ["two"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        await ask(runtime, thread, lambda reply: RunScript(reply=reply, script=f"cat {tmp_path}/fifo"))
        go.set()
        async for event in turn:
            if (
                isinstance(event, ItemCompletedNotification)
                and event.item.type == "agentMessage"
                and event.item.text == "one"
            ):
                await trio.to_thread.run_sync((tmp_path / "fifo").write_text, "late\n")
        assert turn.text == "two"
        assert "\nlate\n" in model.texts[1][-1]


async def test_an_interrupt_ends_the_users_command_too(threads, tmp_path):
    opening, model = threads(["one", trio.Event()])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        await ask(runtime, thread, lambda reply: RunScript(reply=reply, script="echo began; sleep 1000"))
        statuses = []
        async for event in turn:
            if event.METHOD == "item/commandExecution/outputDelta":
                await turn.interrupt()
            if isinstance(event, ItemCompletedNotification) and event.item.type == "commandExecution":
                statuses.append(event.item.status)
        assert statuses == ["failed"]
        assert turn.result is not None
        assert turn.result.status == "interrupted"


async def test_patches_and_commands_of_one_answer_see_the_changes_of_earlier_ones(threads, tmp_path):
    add = "*** Begin Patch\n*** Add File: a.txt\n+one\n*** End Patch\n"
    more = "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+two\n*** End Patch\n"
    answer = [patch(add, "p1"), execute("cat a.txt"), patch(more, "p2"), {**execute("cat a.txt"), "call_id": "c2"}]
    opening, model = threads(answer, config=[*FREE, ("features.apply_patch_freeform", True)])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        outputs = {
            item["call_id"]: item["output"]
            for item in map(json.loads, model.requests[-1].input)
            if item["type"].endswith("_output")
        }
        assert list(outputs) == ["p1", "c1", "p2", "c2"]
        assert (outputs["c1"].endswith("one\n"), outputs["c2"].endswith("two\n")) == (True, True)


@pytest.mark.parametrize(
    ("name", "given", "alone"),
    [
        ("exec_command", {"cmd": "ls"}, False),
        ("write_stdin", {"session_id": 1, "chars": "yes\n"}, True),
        ("write_stdin", {"session_id": 1}, False),
        ("write_stdin", {}, False),
        ("update_plan", {}, True),
        ("request_user_input", {}, True),
        ("request_permissions", {}, True),
        ("view_image", {}, False),
        ("spawn_agent", {}, True),
        ("send_input", {}, True),
        ("wait_agent", {}, False),
        ("close_agent", {}, True),
        ("ask_client", {}, True),
    ],
)
async def test_calls_whose_order_may_matter_wait_for_each_other(opened, actor, name, given, alone):
    spec = {"name": "ask_client", "description": "", "inputSchema": {"type": "object"}}
    config = [*FREE, ("features.request_permissions_tool", True)]
    params = structure({"dynamicTools": [spec]}, ThreadStartParams)
    async with opened(config=config) as runtime, runtime.start_thread(dynamic_tools=params.dynamic_tools) as thread:
        of = actor(runtime, thread.id)
        toolbox = of.parts.tools.toolbox(of.core.state.settings, ModelInfo(slug="any"))
        asked = Call(id="c1", name=name, payload=json.dumps(given))
        assert (toolbox.find(asked) is not None, toolbox.exclusive(asked)) == (True, alone)


AGENTS = ["spawn_agent", "send_input", "resume_agent", "wait_agent", "close_agent"]


@pytest.mark.parametrize(
    ("config", "offered"),
    [
        (
            [("model", "another")],
            ["exec_command", "write_stdin", "update_plan", "request_user_input", "web_search", "view_image", *AGENTS],
        ),
        (
            [("model", "another"), ("features.unified_exec", False), ("web_search", "disabled")],
            ["shell", "update_plan", "request_user_input", "view_image", *AGENTS],
        ),
        (
            [("features.request_permissions_tool", True), ("features.multi_agent", False), ("model", "gpt-5.2")],
            [
                *("exec_command", "write_stdin", "update_plan", "request_user_input", "request_permissions"),
                *("apply_patch", "web_search", "view_image"),
            ],
        ),
    ],
)
async def test_the_tools_are_offered_as_configured(threads, tmp_path, config, offered):
    opening, model = threads(config=config)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        assert [tool.get("name", tool["type"]) for tool in model.requests[0].raw.tools] == offered
        assert thread.id


@pytest.mark.parametrize(
    ("config", "live"),
    [([], False), ([("web_search", "live")], True), ([("sandbox_mode", "danger-full-access")], True)],
)
async def test_the_live_web_is_searched_if_configured_or_if_commands_reach_it_anyway(threads, tmp_path, config, live):
    opening, model = threads(config=config)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        [search] = [tool for tool in model.requests[0].raw.tools if tool["type"] == "web_search"]
        assert search["external_web_access"] is live


async def test_a_function_of_the_application_is_called_by_the_model(threads, tmp_path):
    async def double(x: int) -> int:
        """Doubles."""
        return 2 * x

    opening, model = threads([call("double", {"x": 21})])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path, tools=[double]) as thread:
        await thread.run("go")
        assert model.requests[0].raw.tools[-1]["name"] == "double"
        items = [json.loads(item) for item in model.requests[-1].input]
        assert [item["output"] for item in items if item["type"] == "function_call_output"] == ["42"]
        async with runtime.fork_thread(thread.id, tools=[double]) as fork:
            await fork.run("and in the fork?")
            assert model.requests[-1].raw.tools[-1]["name"] == "double"
        async with runtime.fork_thread(thread.id) as fork:
            await fork.run("and without?")
            assert "double" not in [tool.get("name") for tool in model.requests[-1].raw.tools]


@pytest.mark.parametrize("retries", [0, 1])
async def test_the_calls_of_an_answer_that_breaks_off_are_carried_out(threads, tmp_path, monkeypatch, retries):
    monkeypatch.setattr(sampling, "BACKOFF", 0)
    opening, model = threads([execute("echo hi >> made"), ModelError("gone", retryable=True)])
    model.stream_max_retries = retries
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        if retries:
            await thread.run("go")
        else:
            with pytest.raises(TurnFailed):
                await thread.run("go")
            await thread.run("and now?")
        assert len(model.requests) == 2
        items = [json.loads(item) for item in model.requests[-1].input]
        [output] = [item for item in items if item["type"] == "function_call_output"]
        assert "Process exited with code 0" in output["output"]
        assert (tmp_path / "made").read_text() == "hi\n"


async def test_an_answer_that_is_interrupted_leaves_its_calls_with_an_output(threads, tmp_path):
    opening, model = threads([execute("echo hi >> made"), trio.Event()])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        async with thread.turn("go") as turn:
            await model.waiting.wait()
            await turn.interrupt()
        await thread.run("and now?")
        items = [json.loads(item) for item in model.requests[-1].input]
        [output] = [item for item in items if item["type"] == "function_call_output"]
        assert output["output"].startswith("not run")
        assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "begins"), [("gpt-5.2", "Exit code: 0\nWall time: "), ("another", '{"output":"hi\\n","metadata":')]
)
async def test_the_output_of_shell_depends_on_how_the_model_writes_patches(threads, tmp_path, name, begins):
    opening, model = threads([call("shell", {"command": ["echo", "hi"]})], config=[*FREE, ("model", name)])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        items = [json.loads(item) for item in model.requests[-1].input]
        [output] = [item["output"] for item in items if item["type"] == "function_call_output"]
        assert output.startswith(begins)


async def test_the_function_apply_patch_works_next_to_the_grammar(threads, tmp_path):
    text = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\n"
    opening, _ = threads(
        [call("apply_patch", {"input": text})], config=[*FREE, ("features.apply_patch_freeform", True)]
    )
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        assert (tmp_path / "a").read_text() == "x\n"


@pytest.mark.parametrize(
    ("settings", "asked", "size", "mark"),
    [
        (OTHER, {}, 12_000, "chars truncated"),
        (OTHER, {"max_output_tokens": 100_000}, 12_000, "chars truncated"),
        (OTHER, {"max_output_tokens": 1000}, 4_000, "tokens truncated"),
        ({"model": "gpt-5.4"}, {}, 40_000, "tokens truncated"),
        ({"model": "gpt-5.4"}, {"max_output_tokens": 100_000}, 48_000, "tokens truncated"),
        (OTHER | {"config": {"tool_output_token_limit": 500}}, {}, 2_400, "chars truncated"),
        ({"model": "gpt-5.4", "config": {"tool_output_token_limit": 500}}, {}, 2_400, "tokens truncated"),
    ],
)
async def test_a_long_output_is_cut_to_what_the_model_takes(threads, tmp_path, settings, asked, size, mark):
    opening, model = threads([execute("yes 0123456789 | head -c 300000", **asked | {"yield_time_ms": 30_000})])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path, **settings) as thread:
        await thread.run("go")
    [output] = [item["output"] for item in map(json.loads, model.requests[-1].input) if "output" in item]
    assert size < len(output.encode()) < size + 250
    assert mark in output


async def test_a_long_output_is_the_same_after_a_resume(threads, tmp_path):
    script = execute("yes 0123456789 | head -c 300000", max_output_tokens=100_000, yield_time_ms=30_000)
    opening, model = threads([script], ["ok"], ["again"])
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path, model="gpt-5.4") as thread:
            await thread.run("go")
        async with runtime.resume_thread(thread.id) as thread:
            await thread.run("and now")
    before, after = (
        [item["output"] for item in map(json.loads, request.input) if "output" in item]
        for request in model.requests[1:]
    )
    assert len(before[0]) > 48_000
    assert before == after
