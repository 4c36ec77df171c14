"""Ephemeral threads, threads with several users, and several runtimes."""

import pytest
import trio

from spindle.rpc.protocol.errors import RpcError


async def test_an_ephemeral_thread_leaves_nothing(opened, scripted, tmp_path):
    model = scripted(["one"], ["two"])
    async with opened(model) as runtime:
        async with runtime.start_thread(ephemeral=True) as thread:
            assert thread.info.thread.path is None
            assert (await thread.run("first")).text == "one"
            assert (await thread.run("second")).text == "two"
            assert "one" in model.texts[1]
            with pytest.raises(RpcError, match="includeTurns"):
                await thread.read(include_turns=True)
        with pytest.raises(RpcError, match="no rollout found"):
            async with runtime.resume_thread(thread.id):
                pass
    assert list(tmp_path.rglob("*.jsonl")) == []


async def test_a_second_task_joins_a_thread_without_a_turn(opened, scripted):
    async with (
        opened(scripted(["hello"])) as runtime,
        runtime.start_thread() as one,
        runtime.resume_thread(one.id) as two,
    ):
        assert (await one.run("x")).text == "hello"
        events = two.events()
        seen = [type(await anext(events)).__name__ for _ in range(3)]
        assert "TurnStartedNotification" in seen


async def test_a_turns_events_have_nothing_of_earlier_turns(opened, scripted):
    model = scripted(["first"], ["second"])
    async with opened(model) as runtime, runtime.start_thread() as one, runtime.resume_thread(one.id) as two:
        assert (await one.run("a")).text == "first"
        async with two.turn("b") as turn:
            ids = {event.turn.id async for event in turn if hasattr(event, "turn")}
        assert ids == {turn.id}
        assert turn.text == "second"


async def test_two_runtimes_in_one_process(opened, scripted, tmp_path):
    async with opened(scripted(["a"])) as one, opened(scripted(["b"]), home=tmp_path / "other") as two:
        async with one.start_thread() as here, two.start_thread() as there:
            assert [(await each.run("x")).text for each in (here, there)] == ["a", "b"]
            assert one._backend.registry.directory.loaded() == [here.id]
            assert two._backend.registry.directory.loaded() == [there.id]
        with pytest.raises(RpcError, match="no rollout found"):
            async with two.resume_thread(here.id):
                pass


async def test_two_runtimes_on_one_home_do_not_write_to_one_thread_at_once(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go])
    async with opened(model) as one, opened(scripted(["two"])) as two, one.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
            with pytest.raises(RpcError, match="already has an active writer"):
                async with two.resume_thread(thread.id):
                    pass
            go.set()
            async for _ in turn:
                pass
        async with two.resume_thread(thread.id) as same:
            assert (await same.run("second")).text == "two"
        assert (await thread.run("third")).text == "ok"
    assert model.texts[1].index("second") < model.texts[1].index("two") < model.texts[1].index("third")
