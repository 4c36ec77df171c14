"""The blocks of the embedding interface: cancellation, slow readers, and leaks."""

import gc
import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import SubscriberLagged
from spindle.actors.embedding import streams


async def test_cancelling_a_block_interrupts_and_records_the_turn_before_it_is_left(
    opened, scripted, witness, recorded
):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        seen = witness(runtime)
        with trio.CancelScope() as scope:
            async with runtime.start_thread() as thread:
                try:
                    async with thread.turn("first") as turn:
                        async for event in turn:
                            if event.METHOD == "item/agentMessage/delta":
                                await model.waiting.wait()
                                scope.cancel()
                finally:
                    assert len(recorded(thread, "turn_aborted")) == 1
                    assert turn.result.status == "interrupted"
        assert scope.cancelled_caught
        await seen.until("thread/closed")
        assert runtime._backend.registry.directory.loaded() == []


async def test_cancelling_everything_records_the_turn(opened, scripted, recorded):
    model = scripted(["one", trio.Event()])
    with trio.CancelScope() as scope:
        async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("first") as turn:
            async for event in turn:
                if event.METHOD == "item/agentMessage/delta":
                    await model.waiting.wait()
                    scope.cancel()
    assert scope.cancelled_caught
    assert len(recorded(thread, "turn_aborted")) == 1


async def test_a_cancelled_start_leaves_no_thread_loaded(opened, witness):
    async with opened() as runtime:
        seen = witness(runtime)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def start():
                    async with runtime.start_thread():
                        raise AssertionError("cancelled before")

                nursery.start_soon(start)
                await trio.lowlevel.checkpoint()
                scope.cancel()
        await seen.until("thread/closed")
        assert runtime._backend.registry.directory.loaded() == []


async def test_a_stream_that_is_not_read_raises_subscriber_lagged(
    opened, witness, start_turn, stored_turns, actor, monkeypatch
):
    monkeypatch.setattr(streams, "CAPACITY", 4)
    async with opened() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            turn = await start_turn(runtime, thread.id, "hi")
            await actor(runtime, thread.id).core.turn.done.wait()
            with pytest.raises(SubscriberLagged):
                await anext(thread.events())
        await seen.until("thread/closed")
        [stored] = await stored_turns(runtime, thread.id)
        assert (stored.id, stored.status) == (turn.id, "completed")


async def test_lagging_does_not_hide_how_a_block_ended(opened, actor, monkeypatch):
    monkeypatch.setattr(streams, "CAPACITY", 4)
    async with opened() as runtime, runtime.start_thread() as thread:

        async def use():
            async with thread.turn("hi"):
                await actor(runtime, thread.id).core.turn.done.wait()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await use()


async def settled(runtime):
    """Wait for the tasks that write the ends of turns to the state store: they may outlive their thread."""
    await runtime._backend.state.change(lambda db: None)
    await wait_all_tasks_blocked()


async def test_ended_threads_leave_no_tasks_and_no_open_files(opened, witness):
    threads = 200

    async def use(runtime):
        async with runtime.start_thread() as thread:
            await thread.run("hi")

    async with opened() as runtime:
        seen = witness(runtime)
        await use(runtime)
        await seen.until("thread/closed")
        await settled(runtime)
        gc.collect()  # what other tests have left is not ours
        tasks, files = trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/dev/fd"))
        async with trio.open_nursery() as nursery:
            for _ in range(threads):
                nursery.start_soon(use, runtime)
        await seen.until("thread/closed", threads + 1)
        await settled(runtime)
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert len(os.listdir("/dev/fd")) == files
        assert runtime._backend.registry.directory.loaded() == []
