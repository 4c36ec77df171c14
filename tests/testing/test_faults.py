"""Faults by name: an application sees the documented error, and its next turn works."""

import sys
import time
from pathlib import Path

import pytest
import trio

from spindle import SubscriberLagged, TurnFailed
from spindle.testing import call, faults

from .conftest import FREE

SERVER = Path(__file__).parents[1] / "actors/tools/mcp/tiny_server.py"


@pytest.mark.parametrize(
    ("fault", "words"), [(faults.disk_full, "No space left"), (faults.disk_broken, "Input/output error")]
)
async def test_a_turn_fails_on_a_full_or_broken_disk(runtime, model, fault, words):
    model.strict = False
    async with runtime.start_thread() as thread:
        with fault(runtime), pytest.raises(TurnFailed, match=f"history could not be saved.*{words}"):
            await thread.run("go")
        assert (await thread.run("again")).text == "ok"


async def test_a_slow_disk_holds_up_the_end_of_a_turn_and_nothing_else(runtime, model):
    model.script("one", "two")
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await trio.sleep(0.01)
            ticks += 1

    async with runtime.start_thread() as thread:
        await thread.run("go")
        with faults.slow_disk(runtime, 0.2):
            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tick)
                await thread.run("go")
                nursery.cancel_scope.cancel()
    assert time.perf_counter() - began >= 0.2
    assert ticks > 3


async def test_a_model_that_cannot_be_reached_fails_the_turn(runtime, model):
    model.script("there again")
    async with runtime.start_thread() as thread:
        with faults.model_unreachable(model), pytest.raises(TurnFailed, match="connection refused"):
            await thread.run("go")
        assert (await thread.run("go")).text == "there again"
    assert len(model.requests) == 2


@pytest.mark.spindle(
    config={**FREE, "mcp_servers.tiny": {"command": sys.executable, "args": [str(SERVER)]}}
)
async def test_killed_children_fail_their_calls_and_not_the_turn(runtime, model):
    model.script(
        call("exec_command", cmd="echo up; sleep 600", yield_time_ms=30_000, call_id="c"),
        call("mcp__tiny__.echo", text="hi", call_id="m"),
        "done",
    )
    async with runtime.start_thread() as thread, thread.turn("go") as turn:
        async for event in turn:
            if event.METHOD == "item/commandExecution/outputDelta":
                assert faults.kill_children(runtime) >= 2
        assert turn.text == "done"
    assert "Process exited with code -1" in model.requests[1].tool_outputs["c"]
    assert "err" in model.requests[2].tool_outputs["m"]


async def test_no_children_are_killed_where_there_are_none(runtime, model):
    assert faults.kill_children(runtime) == 0


async def test_a_turn_that_is_not_read_lags(runtime, model):
    model.script("one")
    async with runtime.start_thread() as thread, thread.turn("go") as turn:
        faults.lagging_reader(turn)
        with pytest.raises(SubscriberLagged):
            async for _ in turn:
                pass


async def test_a_stream_that_is_not_read_lags(runtime, model):
    model.script("one two three four")
    async with runtime.start_thread() as thread:
        slow = thread.events()
        faults.lagging_reader(slow)
        assert (await thread.run("go")).text == "one two three four"
        with pytest.raises(SubscriberLagged):
            async for _ in slow:
                pass
