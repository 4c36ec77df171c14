"""A thread that crashes or cannot be loaded is nobody else's trouble."""

import pytest
import trio

from spindle.rpc.protocol.errors import RpcError


async def test_a_crash_is_a_system_error_and_the_thread_can_be_resumed(opened, witness, actor, caplog):
    async with opened() as runtime, runtime.start_thread() as other:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
            actor(runtime, thread.id).address.cast("what no thread understands")
            assert [event async for event in thread.events()] == []
        assert (await seen.statuses())[-2:] == ["systemError", "notLoaded"]
        assert [method for method, _ in seen.heard].count("thread/closed") == 1
        assert "TypeError" in caplog.text
        async with runtime.resume_thread(thread.id) as again:
            assert [turn.status for turn in again.info.thread.turns] == ["completed"]
            assert await again.run("again") == "ok"
        assert await other.run("still here") == "ok"


async def test_a_crash_in_the_middle_of_a_turn_records_it(opened, scripted, witness, stored_turns, actor):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread, thread.turn("first") as turn:
            await model.waiting.wait()
            actor(runtime, thread.id).address.cast("what no thread understands")
            async for _ in turn:
                pass
            assert turn.result.status == "interrupted"
        await seen.until("thread/closed")
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["interrupted"]


async def test_a_thread_that_cannot_be_loaded_is_an_answer_and_nothing_else(opened, witness):
    async with opened() as runtime:
        seen = witness(runtime)
        missing = "00000000-0000-7000-8000-000000000001"
        for _ in range(2):
            with pytest.raises(RpcError, match="no rollout found"):
                async with runtime.resume_thread(missing):
                    pass
        with pytest.raises(RpcError, match="Model provider `none` not found"):
            async with runtime.start_thread(model_provider="none"):
                pass
        assert runtime.registry.loaded() == []
        seen.subscriber.outbox.close()
        assert await seen.subscriber.outbox.take() == []
