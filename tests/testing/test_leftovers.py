"""What is left at the end is named, with where it was started."""

import os
import subprocess
import sys
import threading

import pytest
import trio

from spindle import open_runtime
from spindle.testing import assert_nothing_left, call, hang, leftovers, nothing_left, say

from .conftest import FREE


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(leftovers, "PATIENCE", 0.05)


async def left(start, runtime=None, **options):
    """What `nothing_left` says about what `start` starts."""
    with pytest.raises(AssertionError, match="what is left") as caught:
        async with nothing_left(runtime, **options):
            await start()
    return str(caught.value)


async def test_a_task_is_left(nursery):
    async def start():
        nursery.start_soon(trio.sleep_forever, name="a forgotten one")

    said = await left(start)
    assert "the task 'a forgotten one', started at " in said
    assert f"{__file__}:" in said


async def test_a_system_task_is_left():
    release = trio.Event()

    async def start():
        trio.lowlevel.spawn_system_task(release.wait, name="of the system")

    assert "the task 'of the system'" in await left(start)
    release.set()


async def test_what_was_there_before_is_not_left(nursery):
    nursery.start_soon(trio.sleep_forever)
    file = os.open(__file__, os.O_RDONLY)
    async with nothing_left():
        await trio.lowlevel.checkpoint()
    os.close(file)


async def test_what_is_just_ending_may_end(nursery, monkeypatch):
    monkeypatch.setattr(leftovers, "PATIENCE", 5)

    async def end():
        for _ in range(20):
            await trio.lowlevel.checkpoint()

    async with nothing_left():
        nursery.start_soon(end)


async def test_a_process_a_worker_thread_and_a_descriptor_are_left(nursery):
    release = threading.Event()
    processes, descriptors = [], []

    async def start():
        processes.append(await trio.lowlevel.open_process([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        nursery.start_soon(trio.to_thread.run_sync, release.wait)
        await trio.lowlevel.checkpoint()
        descriptors.append(os.open(__file__, os.O_RDONLY))

    said = await left(start)
    os.close(descriptors[0])
    release.set()
    processes[0].kill()
    await processes[0].wait()
    assert f"the process {processes[0].pid}: {sys.executable} -c input()" in said
    assert "1 worker thread(s)" in said
    assert f"the descriptor {descriptors[0]}: {__file__}" in said


async def test_the_exception_of_the_block_is_raised_as_it_is(nursery):
    async def start():
        nursery.start_soon(trio.sleep_forever)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with nothing_left():
            await start()


@pytest.mark.spindle(config=FREE)
async def test_a_loaded_thread_a_turn_and_its_command_are_left_in_a_runtime(runtime, model):
    model.script(call("exec_command", cmd="sleep 600", yield_time_ms=1000), say("x") + hang())
    async with runtime.start_thread() as thread, thread.turn("go"):
        await model.waiting.wait()
        with pytest.raises(AssertionError) as caught:
            await assert_nothing_left(runtime)
    said = str(caught.value)
    assert f"the thread {thread.id}, which is loaded (active)" in said
    assert "sleep 600" in said
    assert "the task '" in said


async def test_a_runtime_without_threads_leaves_nothing(runtime, model):
    model.script("one", "two")
    async with nothing_left(runtime):
        async with runtime.start_thread() as thread:
            await thread.run("go")
        async with runtime.resume_thread(thread.id) as thread:
            await thread.run("go")
    await assert_nothing_left(runtime)


async def test_a_closed_runtime_leaves_nothing(home, model):
    model.script("one")
    async with nothing_left(home=home), open_runtime(home=home, model=model) as own, own.start_thread() as thread:
        await thread.run("go")


@pytest.mark.parametrize("kind", ["lock", "temporary file", "turn"])
async def test_a_lock_a_temporary_file_and_a_turn_without_an_end_are_left_in_a_home(runtime, home, model, kind):
    model.script("one", say("two") + hang())
    async with runtime.start_thread() as thread:
        await thread.run("go")
        if kind == "temporary file":
            (home / ".config.toml.12-0123456789ab").touch()
            with pytest.raises(AssertionError, match=r"the file .*config\.toml\.12-0123456789ab"):
                await leftovers._check(None, home, leftovers._Seen.now(None), leftovers._Spawned())
            (home / ".config.toml.12-0123456789ab").unlink()
            model.answers.clear()
            return
        async with thread.turn("go"):
            await model.waiting.wait()
            what = f"the turn .* without an end, in .*{thread.id}" if kind == "turn" else "the writer's lock .*, which is held"
            with pytest.raises(AssertionError, match=what):
                await leftovers._check(None, home, leftovers._Seen.now(None), leftovers._Spawned())
