"""Streams of one handle: each turn and each `events()` is independent, and the end of a turn needs no stream."""

import gc

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import Question, SubscriberLagged
from spindle.actors.embedding import streams
from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import Compact
from spindle.actors.turn.life import TurnState


def methods(events):
    return [event.METHOD for event in events]


async def test_a_logger_and_a_turn_each_see_every_event(opened, scripted):
    logged = []
    async with opened(scripted(["one"], ["two"])) as runtime, runtime.start_thread() as thread:

        async def log(events):
            async for event in events:
                logged.append(event)  # noqa: PERF401 - some are looked at before the end

        async with trio.open_nursery() as nursery:
            nursery.start_soon(log, thread.events())
            with trio.fail_after(10):
                assert (await thread.run("first")).text == "one"
                async with thread.turn("second") as turn:
                    seen = [event async for event in turn]
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert methods(seen)[0] == "turn/started"
    assert methods(logged).count("turn/completed") == 2
    assert [event for event in logged if event in seen] == seen


async def test_two_tasks_run_turns_on_one_handle(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go], ["two"])
    texts = []
    async with opened(model) as runtime, runtime.start_thread() as thread:

        async def run(text):
            texts.append((await thread.run(text)).text)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, "first")
                await model.waiting.wait()
                nursery.start_soon(run, "second")
                await wait_all_tasks_blocked()
                go.set()
        shown = (await thread.read(include_turns=True)).turns
    assert texts == ["two", "two"]  # the second has joined the turn of the first
    assert [turn.status for turn in shown] == ["completed"]


async def test_a_turn_that_two_share_ends_with_the_last_of_them(opened, scripted, actor):
    go = trio.Event()
    model = scripted(["one", go], ["two"], [trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, runtime.resume_thread(thread.id) as other:
        with trio.fail_after(10):
            async with thread.turn("first") as turn:
                await model.waiting.wait()
                async with other.turn("second") as joined:
                    assert joined.id == turn.id
                assert joined.result is None
                assert actor(runtime, thread.id).core.turn.state is TurnState.RUNNING
                go.set()
                async for _ in turn:
                    pass
            assert (turn.result.status, turn.text) == ("completed", "two")
            async with thread.turn("third"), other.turn("fourth"):
                pass
        assert [turn.status for turn in (await thread.read(include_turns=True)).turns] == ["completed", "interrupted"]


async def test_a_turn_runs_inside_of_events(opened, scripted):
    async with opened(scripted(["one"], ["two"])) as runtime, runtime.start_thread() as thread:
        found = []
        with trio.fail_after(10):
            events = thread.events()
            await thread.run("first")
            async for event in events:
                found.append(event.METHOD)
                if event.METHOD == "turn/completed":
                    if found.count("turn/completed") == 2:
                        break
                    assert (await thread.run("second")).text == "two"


async def test_the_end_of_a_block_needs_no_events(opened, scripted):
    go = trio.Event()  # the turn ends when the other is subscribed
    async with opened(scripted([go, "one"])) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(10):
            async with thread.turn("first") as turn, runtime.resume_thread(thread.id) as other:
                go.set()
                async for event in other.events():
                    if event.METHOD == "turn/completed":
                        break
            assert turn.result.status == "completed"


async def test_one_stream_lags_and_the_others_do_not(opened, scripted, monkeypatch):
    monkeypatch.setattr(streams, "CAPACITY", 16)
    model = scripted(*([["word"]] * 5))
    async with opened(model) as runtime, runtime.start_thread() as thread:
        slow, seen = thread.events(), []
        await thread.run("first")
        assert (await anext(slow)).METHOD
        async with trio.open_nursery() as nursery:

            async def log(events):
                async for event in events:
                    seen.append(event)  # noqa: PERF401 - it is cancelled

            nursery.start_soon(log, thread.events())
            with trio.fail_after(10):
                for _ in range(4):
                    assert (await thread.run("again")).text == "word"
                await wait_all_tasks_blocked()
                with pytest.raises(SubscriberLagged):
                    async for _ in slow:
                        pass
            nursery.cancel_scope.cancel()
        assert methods(seen).count("turn/completed") == 4
        assert slow._outbox._messages == type(slow._outbox._messages)()


async def test_a_stream_without_a_reference_is_freed(opened, actor):
    async with opened() as runtime, runtime.start_thread() as thread:
        [subscriber] = actor(runtime, thread.id).core.subscribers
        kept = thread.events()
        for _ in range(3):
            thread.events()
        gc.collect()
        assert list(subscriber.outbox._open) == [kept]
        await kept.aclose()
        assert [event async for event in kept] == []


async def test_two_tasks_cannot_take_from_one_stream(opened):
    async with opened() as runtime, runtime.start_thread() as thread, trio.open_nursery() as nursery:
        events = thread.events()
        nursery.start_soon(anext, events)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await anext(events)
        nursery.cancel_scope.cancel()


async def test_a_question_that_is_open_is_asked_of_a_later_stream(opened, scripted):
    model = scripted([{"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": '{"cmd": "touch x"}'}])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        with trio.fail_after(10):
            async for event in turn:
                if isinstance(event, Question):
                    break
            later = await anext(thread.events())
            assert later is event
            later.decline()
            async for _ in turn:
                pass
        assert turn.result.status == "completed"


ASKING = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]


async def test_a_turn_that_is_cancelled_while_it_waits_starts_nothing(opened, scripted, actor, mock_clock):
    go = trio.Event()
    model = scripted(["one"], ["half", go], ["never"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("first")
        registry = runtime._backend.registry
        await answer(lambda reply: registry.route(ToThread(thread.id, Compact(reply=reply, turn_id="compaction"))))
        await model.waiting.wait()
        left = trio.Event()

        async def run():
            with trio.move_on_after(0.5) as scope:
                async with thread.turn("second"):
                    raise AssertionError("the compaction has not ended")
            assert scope.cancelled_caught
            left.set()

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(run)
                await wait_all_tasks_blocked()
            mock_clock.jump(1)
            await wait_all_tasks_blocked()
            assert left.is_set()  # and the compaction runs
            assert actor(runtime, thread.id).core.turn.id == "compaction"
            go.set()
        model.answers.clear()
        assert (await thread.run("third")).text == "ok"
        shown = (await thread.read(include_turns=True)).turns
        assert [turn.status for turn in shown] == ["completed"] * 3
        assert "second" not in model.texts[-1]


async def test_withdrawn_turns_do_not_accumulate_behind_a_long_turn(opened, scripted, actor):
    model = scripted(["one"], ["half", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("first")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(thread.compact)
            await model.waiting.wait()
            for use in (thread.run, lambda _: thread.compact()) * 3:
                with trio.CancelScope() as scope:
                    nursery.start_soon(wait_and_cancel, scope)
                    await use("second")
            assert len(actor(runtime, thread.id).parts.turns.waiting) <= 1
            nursery.cancel_scope.cancel()
        assert [turn.status for turn in (await thread.read(include_turns=True)).turns] == ["completed", "interrupted"]


async def wait_and_cancel(scope):
    await wait_all_tasks_blocked()
    scope.cancel()
