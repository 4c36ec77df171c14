"""The calls of one answer: run concurrently, answered in order, each of them exactly once."""

import re
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.services.instruments import Instruments
from spindle.actors.tools.interface import ToolRefused, TurnCancelled, Use
from spindle.actors.tools.truncation import Limit
from spindle.actors.turn.calls import run_calls
from spindle.actors.turn.toolbox import Toolbox
from spindle.actors.turn.work import Work
from spindle.storage.rollout.journal import JournalError


class Host:
    """What the calls see of the turn."""

    recorded: Any
    scope: Any
    instruments = Instruments()
    thread_id = "t1"

    def __init__(self):
        self.recorded = []
        self.broken = False
        self.scope = trio.CancelScope()
        self.work = Work()

    def record(self, *entries):
        if self.broken:
            raise JournalError("disk full")
        self.recorded += [payload for _, payload in entries]

    async def keep(self, *entries):
        self.record(*entries)

    def cancel(self):
        self.scope.cancel()

    @property
    def outputs(self):
        return [(item["call_id"], item["output"]) for item in self.recorded]


class Double:
    """A tool that waits until it is released, then answers or raises."""

    namespace: Any = None

    def __init__(self, name="tool", answer="done", custom=False, held=False):
        self.name, self.answer = name, answer
        self.offer = {"type": "custom" if custom else "function", "name": name}
        self.go = trio.Event()
        if not held:
            self.go.set()

    async def run(self, call, host):
        await self.go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def call(id="c", name="tool", **more):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": "{}", **more}


async def test_outputs_are_recorded_in_the_order_of_the_calls():
    slow, quick = Double("slow", "1", held=True), Double("quick", "2")
    host: Any = Host()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_calls, [call("a", "slow"), call("b", "quick")], Toolbox([slow, quick]), host)
        await wait_all_tasks_blocked()
        assert host.outputs == []
        slow.go.set()
    assert host.outputs == [("a", "1"), ("b", "2")]


async def test_an_exclusive_call_runs_between_those_before_and_those_behind():
    began: list[str] = []

    class Noted(Double):
        def exclusive(self, call):
            return self.name == "alone"

        async def run(self, call, host):
            began.append(call.id)
            return await super().run(call, host)

    side, alone = Noted("side", held=True), Noted("alone", held=True)
    host: Any = Host()
    calls = [call("a", "side"), call("b", "side"), call("c", "alone"), call("d", "side"), call("e", "alone")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_calls, calls, Toolbox([side, alone]), host)
        await wait_all_tasks_blocked()
        assert sorted(began) == ["a", "b"]
        side.go.set()
        await wait_all_tasks_blocked()
        assert began[2:] == ["c"]
        alone.go.set()
    assert began[3:] == ["d", "e"]
    assert [id for id, _ in host.outputs] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("item", "output"),
    [
        (call(name="nobody"), "unsupported call: nobody"),
        (call(namespace="elsewhere"), "unsupported call: elsewheretool"),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "tool", "input": ""},
            "unsupported custom tool call: tool",
        ),
        (call(name="grammar"), "unsupported call: grammar"),
    ],
)
async def test_a_call_of_an_unknown_tool_gets_an_output_that_says_so(item, output):
    host: Any = Host()
    await run_calls([item], Toolbox([Double(), Double("grammar", custom=True)]), host)
    assert host.outputs == [("c", output)]


async def test_a_custom_call_gets_a_custom_output():
    host: Any = Host()
    item = {"type": "custom_tool_call", "call_id": "c", "name": "tool", "input": "x"}
    await run_calls([item], Toolbox([Double(custom=True)]), host)
    assert host.recorded == [{"type": "custom_tool_call_output", "call_id": "c", "output": "done"}]


async def test_a_refusal_and_a_fault_are_outputs_and_do_not_affect_other_calls(caplog):
    tools = [Double("refuses", ToolRefused("not so")), Double("breaks", ValueError("bug")), Double()]
    host: Any = Host()
    await run_calls([call("a", "refuses"), call("b", "breaks"), call("c")], Toolbox(tools), host)
    assert host.outputs == [("a", "not so"), ("b", "internal error: bug"), ("c", "done")]
    assert "thread t1: the tool breaks failed" in caplog.text


async def test_an_interrupt_gives_open_calls_an_output_and_keeps_the_others():
    tools = [Double("first", "1"), Double("held", held=True), Double("third", "3")]
    host: Any = Host()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            calls = [call("a", "first"), call("b", "held"), call("c", "third")]
            nursery.start_soon(run_calls, calls, Toolbox(tools), host)
            await wait_all_tasks_blocked()
            scope.cancel()
    assert [id for id, _ in host.outputs] == ["a", "b", "c"]
    assert host.outputs[0] == ("a", "1")
    assert re.fullmatch(r"aborted by user after \d+\.\ds", host.outputs[1][1])
    assert host.outputs[2] == ("c", "3")


async def test_the_output_of_a_call_is_cut_when_its_hooks_are_interrupted():
    class Looking:
        async def before(self, use):
            return None

        async def after(self, use, response):
            await trio.sleep_forever()

    class Reporting(Double):
        async def run(self, call, host):
            call.report(Use(id=call.id, tool="t", input={}), "")
            return "x" * 100

    host, hooks = cast("Any", Host()), cast("Any", Looking())
    tools = Toolbox([Reporting()], limit=Limit(10, "bytes"))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_calls, [call()], tools, host, hooks)
            await wait_all_tasks_blocked()
            scope.cancel()
    assert host.outputs == [("c", "xxxxxx…88 chars truncated…xxxxxx")]


async def test_an_interrupted_call_gets_an_output_of_its_own_form():
    class Formed(Double):
        def aborted(self, seconds):
            return f"{seconds:.0f} and no more"

    host: Any = Host()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_calls, [call("a")], Toolbox([Formed(held=True)]), host)
            await wait_all_tasks_blocked()
            scope.cancel()
    assert re.fullmatch(r"\d+ and no more", host.outputs[0][1])


async def test_a_tool_may_be_offered_as_custom_and_as_function():
    host: Any = Host()
    custom = {"type": "custom_tool_call", "call_id": "b", "name": "tool", "input": "x"}
    tools = Toolbox([Double(answer="free", custom=True)], [Double(answer="function")])
    await run_calls([call("a"), custom], tools, host)
    assert host.outputs == [("a", "function"), ("b", "free")]


async def test_an_answer_that_ends_the_turn_aborts_the_other_calls():
    tools = [Double("asks", TurnCancelled()), Double("held", held=True)]
    host: Any = Host()
    with host.scope:
        await run_calls([call("a", "asks"), call("b", "held")], Toolbox(tools), host)
    assert host.scope.cancelled_caught
    assert [output.startswith("aborted by user") for _, output in host.outputs] == [True, True]


async def test_a_history_that_cannot_be_saved_ends_the_calls_at_once():
    held = Double("held", held=True)
    host: Any = Host()
    host.broken = True
    with pytest.raises(JournalError, match="disk full"):
        await run_calls([call("a"), call("b", "held")], Toolbox([Double(), held]), host)


async def test_a_tool_that_cannot_save_ends_the_calls_too():
    host: Any = Host()
    with pytest.raises(JournalError, match="gone"):
        await run_calls([call()], Toolbox([Double(answer=JournalError("gone"))]), host)


def test_tools_of_one_namespace_are_offered_together():
    inner = [Double("a"), Double("b")]
    for tool in inner:
        tool.namespace = "space"
    offers = Toolbox([Double("first"), *inner, {"type": "web_search"}]).offers
    assert [offer.get("name", offer["type"]) for offer in offers] == ["first", "space", "web_search"]
    assert [tool["name"] for tool in offers[1]["tools"]] == ["a", "b"]
