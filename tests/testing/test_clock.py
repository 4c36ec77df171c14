"""The clock of the kit: it jumps over sleeps, and passes as the real one while something works."""

import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.testing import AgentClock, call

from .conftest import FREE

SERVER = Path(__file__).parents[1] / "actors/tools/mcp/tiny_server.py"


async def test_it_jumps_when_everything_sleeps(agent_clock):
    began = time.perf_counter()
    woken = []

    async def sleep(seconds):
        await trio.sleep(seconds)
        woken.append((seconds, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for seconds in (3600, 60, 86400 * 3):
            nursery.start_soon(sleep, seconds)
    assert woken == [(60, 60), (3600, 3600), (86400 * 3, 86400 * 3)]
    assert time.perf_counter() - began < 5


async def test_many_jumps_take_no_time(agent_clock):
    began = time.perf_counter()
    for _ in range(1000):
        await trio.sleep(1)
    assert trio.current_time() == 1000
    assert time.perf_counter() - began < 5


async def test_it_waits_for_a_worker_thread(agent_clock):
    with trio.fail_after(60):
        await trio.to_thread.run_sync(time.sleep, 0.1)
    assert 0.05 < trio.current_time() < 10


async def test_it_is_the_real_time_for_a_worker_thread_that_hangs(agent_clock):
    release = threading.Event()
    with trio.move_on_after(0.05) as scope:
        await trio.to_thread.run_sync(release.wait, abandon_on_cancel=True)
    release.set()
    assert scope.cancelled_caught


async def test_it_waits_for_a_process_of_the_program(agent_clock):
    with trio.fail_after(60):
        await trio.run_process([sys.executable, "-c", "import time; time.sleep(0.1)"])
    assert trio.current_time() < 10


async def test_input_that_has_arrived_comes_before_a_deadline(agent_clock):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    received: list[object] = []

    async def receive():
        with trio.fail_after(1):
            await trio.lowlevel.wait_readable(theirs)
            received.append(theirs.recv(1))
        received.append(trio.current_time())

    with ours, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            ours.send(b"x")  # without a checkpoint: it arrives when all tasks are blocked
            await trio.sleep(60)
    assert received == [b"x", 0]


@pytest.mark.parametrize("cushion", [0.0, 0.05])
async def test_a_task_that_waits_until_all_are_blocked_comes_first(agent_clock, cushion):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 60)
        await wait_all_tasks_blocked(cushion)
        assert trio.current_time() == 0
    assert trio.current_time() == 60


async def test_it_can_be_advanced_by_hand(agent_clock):
    agent_clock.jump(5)
    assert trio.current_time() == 5
    with pytest.raises(ValueError, match="back"):
        agent_clock.jump(-1)


def test_it_needs_no_fixture():
    trio.run(trio.sleep, 3600, clock=AgentClock())


@pytest.mark.spindle(config=FREE)
async def test_the_timeouts_of_a_turn_do_not_end_a_command_that_works(runtime, model, agent_clock):
    model.script(call("exec_command", cmd="sleep 0.3; echo done", yield_time_ms=20_000, call_id="c"), "ok")
    async with runtime.start_thread() as thread:
        with trio.fail_after(60):
            assert (await thread.run("go")).text == "ok"
    assert "Process exited with code 0" in model.requests[1].tool_outputs["c"]
    assert "done" in model.requests[1].tool_outputs["c"]
    assert trio.current_time() < 20


@pytest.mark.spindle(
    config={"mcp_servers.tiny": {"command": sys.executable, "args": [str(SERVER)]}, "approval_policy": "never"}
)
async def test_it_waits_for_a_server_that_is_asked_and_not_for_one_that_is_idle(runtime, model, agent_clock):
    model.script(call("mcp__tiny__.echo", text="hi", call_id="c"), "ok")
    async with runtime.start_thread() as thread:
        assert (await thread.run("go")).text == "ok"
        assert "hi" in model.requests[1].tool_outputs["c"]
        began = time.perf_counter()
        await trio.sleep(3600)
        assert time.perf_counter() - began < 5
