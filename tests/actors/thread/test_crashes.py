"""A thread that crashes or cannot be loaded does not affect others, and what fails inside a thread does not crash it."""

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import InjectItems, SetName
from spindle.rpc.protocol.errors import RpcError
from spindle.storage.config import ConfigError


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


async def test_a_crash_is_a_system_error_and_the_thread_can_be_resumed(opened, witness, actor, crash, caplog):
    async with opened() as runtime, runtime.start_thread() as other:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
            crash(actor(runtime, thread.id))
            assert [event async for event in thread.events()] == []
        assert (await seen.statuses())[-2:] == ["systemError", "notLoaded"]
        assert [method for method, _ in seen.notifications].count("thread/closed") == 1
        assert "TypeError" in caplog.text
        async with runtime.resume_thread(thread.id) as again:
            assert [turn.status for turn in again.info.thread.turns] == ["completed"]
            assert (await again.run("again")).text == "ok"
        assert (await other.run("still here")).text == "ok"


async def test_a_crash_in_the_middle_of_a_turn_records_it(opened, scripted, witness, stored_turns, actor, crash):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread, thread.turn("first") as turn:
            await model.waiting.wait()
            crash(actor(runtime, thread.id))
            async for _ in turn:
                pass
            assert turn.result.status == "interrupted"
        await seen.until("thread/closed")
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["interrupted"]


async def test_a_failed_load_is_an_answer_and_no_notification(opened, witness):
    async with opened() as runtime:
        seen = witness(runtime)
        missing = "00000000-0000-7000-8000-000000000001"
        for _ in range(2):
            with pytest.raises(RpcError, match="no rollout found"):
                async with runtime.resume_thread(missing):
                    pass
        with pytest.raises(ConfigError, match="Model provider `none` not found"):
            async with runtime.start_thread(model_provider="none"):
                pass
        assert runtime._backend.registry.directory.loaded() == []
        seen.subscriber.outbox.close()
        assert await seen.subscriber.outbox.take() == []


ITEM = {"type": "message", "role": "user"}
UNWRITABLE: dict[str, Any] = {
    "a number of 65 bits": 2**64,
    "half a surrogate pair": "\ud800",
    "nested beyond what is encoded": deep(300),
    "an object": object(),
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE)
@pytest.mark.parametrize("running", [False, True], ids=["idle", "in a turn"])
async def test_a_change_that_cannot_be_written_is_refused_and_the_thread_works(
    opened, scripted, events_of, start_turn, running, value
):
    go_on = trio.Event()
    model = scripted(["one", go_on, " two"] if running else ["one two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        events = thread.events()
        if running:
            turn = await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()

        def send(message):
            return answer(lambda reply: runtime._backend.registry.route(ToThread(thread.id, message(reply))))

        with pytest.raises(RpcError, match="internal error"):
            await send(lambda reply: InjectItems(reply=reply, items=[ITEM | {"content": value}]))
        with pytest.raises(RpcError, match="internal error"):
            await send(lambda reply: SetName(reply=reply, name=value))
        assert (await thread.read()).name is None
        if running:
            go_on.set()
            assert (await events_of(events, turn.id))[-1].turn.status == "completed"
        assert (await thread.run("again")).text in ("ok", "one two")
        # the turn has recorded the context already
        assert any(text.startswith("<environment_context>") for text in model.texts[-1])


async def test_a_message_without_an_answer_that_fails_is_logged(opened, actor, caplog):
    async with opened() as runtime, runtime.start_thread() as thread:
        actor(runtime, thread.id).mailbox.post("what no thread understands")
        assert (await thread.run("hi")).text == "ok"
    assert "what no thread understands" in caplog.text


@pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(3), GeneratorExit(), BaseException("worse")])
async def test_a_failing_background_task_is_logged_and_the_thread_works(opened, scripted, actor, caplog, raised):
    async def fail():
        await trio.lowlevel.checkpoint()
        raise raised

    async def fail_when_begun(task_status):
        task_status.started("begun")
        await fail()

    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("hi") as turn:
        await model.waiting.wait()
        tasks = actor(runtime, thread.id).core.tasks
        tasks.start_soon(fail)
        assert await tasks.start(fail_when_begun) == "begun"
        await wait_all_tasks_blocked()
        assert turn.result is None
        assert (await thread.read()).status.type == "active"
    assert caplog.text.count("failed") == 2


async def test_a_task_that_fails_before_it_has_started_raises_in_its_starter(opened, actor):
    async def fail(task_status):
        raise OSError("cannot be started")

    async with opened() as runtime, runtime.start_thread() as thread:
        with pytest.raises(OSError, match="cannot be started"):
            await actor(runtime, thread.id).core.tasks.start(fail)
        assert (await thread.run("hi")).text == "ok"
