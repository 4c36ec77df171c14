"""When threads end: subscribers that leave or are lost, archiving, and the end of the runtime."""

import gc
import weakref

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import ThreadClosed
from spindle.actors.thread.joining import LOST_CLIENT_DELAY
from spindle.actors.thread.messages import LeaveNow
from spindle.actors.turn.life import TurnState
from spindle.rpc.protocol.errors import RpcError


async def test_the_last_subscriber_to_leave_closes_the_thread(opened, witness):
    async with opened() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
            async with runtime.resume_thread(thread.id) as same:
                assert same.id == thread.id
            assert runtime._backend.registry.directory.loaded() == [thread.id]
        await seen.until("thread/closed")
        assert not runtime._backend.registry.directory.is_known(thread.id)


async def test_finish_lets_the_turn_end_before_the_thread_closes(opened, scripted, witness, start_turn, stored_turns):
    go = trio.Event()
    model = scripted(["one", go])
    async with opened(model) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
        assert runtime._backend.registry.directory.loaded() == [thread.id]
        go.set()
        assert await seen.statuses() == ["active", "idle", "notLoaded"]
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["completed"]


async def test_interrupt_ends_the_turn_with_the_last_subscriber(opened, scripted, witness, start_turn, stored_turns):
    model = scripted(["one", trio.Event()])
    async with opened(model, config=[("on_unsubscribe", "interrupt")]) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
        await seen.until("thread/closed")
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["interrupted"]


async def lose(runtime, thread):
    """The connection of the thread's client is lost, and the thread has handled that."""
    [subscriber] = runtime._backend.registry._actors[thread.id].core.subscribers
    runtime._backend.registry.leave_all(subscriber)
    await thread.read()
    await wait_all_tasks_blocked()


async def test_a_thread_waits_for_a_lost_client(opened, witness, mock_clock):
    async with opened() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
            await lose(runtime, thread)
            mock_clock.jump(LOST_CLIENT_DELAY - 1)
            await wait_all_tasks_blocked()
            async with runtime.resume_thread(thread.id):
                mock_clock.jump(2)
                await wait_all_tasks_blocked()
                assert runtime._backend.registry.directory.loaded() == [thread.id]
                await lose(runtime, thread)
            mock_clock.jump(LOST_CLIENT_DELAY - 1)
            await wait_all_tasks_blocked()
            assert runtime._backend.registry.directory.loaded() == [thread.id]
            mock_clock.jump(1)
            await seen.until("thread/closed")


async def test_a_configured_delay_applies_to_an_unsubscribe_too(opened, witness, mock_clock):
    async with opened(config=[("thread_unload_delay_secs", 7)]) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            pass
        await wait_all_tasks_blocked()
        mock_clock.jump(6)
        await wait_all_tasks_blocked()
        assert runtime._backend.registry.directory.loaded() == [thread.id]
        mock_clock.jump(1)
        await seen.until("thread/closed")


async def test_the_turn_of_a_lost_client_is_interrupted_only_when_the_delay_is_over(
    opened, scripted, witness, start_turn, stored_turns, actor, mock_clock
):
    model = scripted(["one", trio.Event()])
    async with opened(model, config=[("on_unsubscribe", "interrupt")]) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
            await lose(runtime, thread)
            assert actor(runtime, thread.id).core.turn.state is TurnState.RUNNING
            mock_clock.jump(LOST_CLIENT_DELAY)
            await seen.until("thread/closed")
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["interrupted"]


async def test_an_old_timer_does_not_end_a_thread(opened, actor):
    async with opened() as runtime, runtime.start_thread() as thread:
        actor(runtime, thread.id).mailbox.post(LeaveNow(0))
        await thread.read()
        assert runtime._backend.registry.directory.loaded() == [thread.id]


async def test_archiving_closes_the_thread_for_all_clients(opened, scripted, witness):
    go = trio.Event()
    model = scripted(["one", go])
    async with opened(model) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread, thread.turn("first") as turn:
            await model.waiting.wait()
            await runtime.archive_thread(thread.id)
            assert [event.METHOD async for event in turn][-1] == "turn/completed"
            assert turn.result.status == "interrupted"
            with pytest.raises(ThreadClosed):
                thread.events()
        await seen.until("thread/archived")
        assert [method for method, _ in seen.notifications][-2:] == ["thread/closed", "thread/archived"]
        with pytest.raises(RpcError, match="no rollout found"):
            async with runtime.resume_thread(thread.id):
                pass


async def test_closing_the_runtime_interrupts_and_records_what_runs(opened, scripted, witness, start_turn, recorded):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
    assert len(recorded(thread, "turn_aborted")) == 1
    assert await seen.statuses() == ["active", "idle", "notLoaded"]
    with pytest.raises(RpcError, match="shutting down"):
        async with runtime.start_thread():
            pass


async def test_a_thread_that_has_ended_is_freed_without_the_garbage_collector(opened, actor, witness):
    async with opened() as runtime:
        seen = witness(runtime)
        gc.collect()
        gc.disable()
        try:
            async with runtime.start_thread() as thread:
                await thread.run("hi")
                ended = actor(runtime, thread.id)
                parts = [ended, ended.core, ended.core.state.conversation, *filter(None, vars(ended.parts).values())]
                left = [weakref.ref(part) for part in parts]
                del ended, parts
            await seen.until("thread/closed")
            await wait_all_tasks_blocked()
            assert [ref() for ref in left if ref() is not None] == []
        finally:
            gc.enable()
