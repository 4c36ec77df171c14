"""Turns of an application: results, turns that outlive their callers, and any number of tasks that use one turn."""

import gc
import weakref
from typing import assert_type

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import spindle
from spindle.actors.embedding import turn_log
from spindle.actors.turn.life import TurnState
from spindle.rpc.model.interface import ModelError, Usage
from spindle.rpc.protocol.items import AgentMessageItem, CommandExecutionItem, UserMessageItem

FREE = [("sandbox_mode", "danger-full-access"), ("approval_policy", "never"), ("features.apply_patch_freeform", True)]
PATCH = {
    "type": "custom_tool_call",
    "call_id": "p",
    "name": "apply_patch",
    "input": "*** Begin Patch\n*** Add File: made.txt\n+new\n*** End Patch\n",
}
COMMAND = {"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": '{"cmd": "true"}'}


def methods(events):
    return [event.METHOD for event in events]


def said(events):
    return "".join(event.delta for event in events if event.METHOD == "item/agentMessage/delta")


async def collect(turn, seen):
    async for event in turn:
        seen.append(event)


# -- results


async def test_a_run_returns_all_of_the_turn(opened, scripted, tmp_path):
    model = scripted(["I look", COMMAND, PATCH, Usage(10, 4, 3, 1, 13)], ["done", Usage(20, 8, 5, 2, 25)])
    async with opened(model, config=FREE) as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        result = await thread.run("go")
        [shown] = (await thread.read(include_turns=True)).turns
    assert (result.id, result.status, result.error) == (shown.id, "completed", None)
    assert (result.output, result.text) == ("done", "done")
    assert [item.type for item in result.items] == [item.type for item in shown.items]
    assert [type(item) for item in result.items[:3]] == [UserMessageItem, AgentMessageItem, CommandExecutionItem]
    assert result.usage == spindle.Usage(30, 12, 8, 3, 38)
    assert "+++ b/made.txt" in result.diff
    assert (result.started_at, result.completed_at) == (shown.started_at, shown.completed_at)
    assert result.duration_ms >= 0


async def test_a_turn_without_a_message_usage_or_patch_says_so(opened, scripted):
    async with opened(scripted([])) as runtime, runtime.start_thread() as thread:
        result = await thread.run("go")
    assert (result.output, result.usage, result.diff) == ("", None, "")


async def test_a_provider_that_fails_is_an_error_with_its_words(opened, scripted):
    info = {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
    model = scripted(["half", COMMAND], [ModelError("slow down", info, status=429, retry_after=12.0)])
    async with opened(model, config=FREE) as runtime, runtime.start_thread() as thread:
        with pytest.raises(spindle.ProviderError, match="slow down") as caught:
            await thread.run("go")
    error = caught.value
    assert isinstance(error, spindle.TurnFailed)
    assert (error.status, error.retry_after, error.info) == (429, 12.0, info)
    assert (error.result.status, error.result.text, len(error.result.items)) == ("failed", "half", 3)
    assert str(error) == "slow down"


async def test_a_turn_that_fails_otherwise_is_no_error_of_the_provider(opened, scripted):
    async with opened(scripted([ValueError("odd")])) as runtime, runtime.start_thread() as thread:
        with pytest.raises(spindle.TurnFailed, match="odd") as caught:
            await thread.run("go")
    assert type(caught.value) is spindle.TurnFailed


async def test_a_run_is_not_lost_when_its_events_are_many(opened, scripted, monkeypatch):
    monkeypatch.setattr(turn_log, "KEPT", 8)
    monkeypatch.setattr(turn_log, "CAPACITY", 4)
    model = scripted([str(number) for number in range(200)])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        assert (await thread.run("go")).text == "".join(map(str, range(200)))


# -- turns that outlive their callers


async def test_a_turn_outlives_the_task_that_has_started_it(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go, "two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turns = []

        async def start():
            turns.append(await thread.start_turn("go"))
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await model.waiting.wait()
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        [turn] = turns
        assert (turn.result, turn.text) == (None, "one")
        go.set()
        with trio.fail_after(10):
            result = await turn.wait()
        assert (result.status, result.output, result.id) == ("completed", "onetwo", turn.id)
        assert turn.result == result


@pytest.mark.parametrize("rule", ["finish", "interrupt"])
async def test_a_turn_ends_with_the_subscription_as_configured(opened, scripted, witness, rule):
    go = trio.Event()
    model = scripted(["one", go])
    async with opened(model, config=[("on_unsubscribe", rule)]) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            turn = await thread.start_turn("go")
            await model.waiting.wait()
        go.set()
        with trio.fail_after(10):
            result = await turn.wait()  # the block has ended, the turn is waited for all the same
            await seen.next("thread/closed")
        assert result.status == ("completed" if rule == "finish" else "interrupted")
        with pytest.raises(spindle.ThreadClosed):
            await thread.start_turn("again")


async def test_the_end_of_the_runtime_interrupts_a_turn_that_goes_on(opened, scripted):
    model, results = scripted(["one", trio.Event()]), []

    async def wait(turn):
        results.append(await turn.wait())

    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            async with opened(model) as runtime, runtime.start_thread() as thread:
                turn = await thread.start_turn("go")
                nursery.start_soon(wait, turn)
                await model.waiting.wait()
    assert [(result.status, result.text) for result in results] == [("interrupted", "")]


async def test_a_run_ends_with_the_block_of_its_handle(opened, scripted):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as keeper, trio.open_nursery() as nursery:
        with trio.fail_after(10):
            async with runtime.resume_thread(keeper.id) as thread:

                @nursery.start_soon
                async def _():
                    with pytest.raises(spindle.ThreadClosed):
                        await thread.run("go")
                    ended.set()

                ended = trio.Event()
                await model.waiting.wait()
            await ended.wait()
        [turn] = (await keeper.read(include_turns=True)).turns
        assert turn.status == "interrupted"


async def test_a_crash_ends_the_wait(opened, scripted, actor, crash):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await thread.start_turn("go")
        await model.waiting.wait()
        crash(actor(runtime, thread.id))
        with trio.fail_after(10):
            assert (await turn.wait()).status == "interrupted"
        with pytest.raises(spindle.ThreadClosed):
            await turn.interrupt()


async def test_a_wait_that_is_cancelled_leaves_the_turn_alone(opened, scripted, actor):
    go = trio.Event()
    model, ended = scripted(["one", go]), []
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await thread.start_turn("go")

        async def wait():
            ended.append((await turn.wait()).status)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            await model.waiting.wait()
            with trio.move_on_after(0):
                await turn.wait()
            assert actor(runtime, thread.id).core.turn.state is TurnState.RUNNING
            go.set()
    assert ended == ["completed"] * 3


async def test_a_turn_nobody_holds_keeps_no_events(opened, scripted, actor):
    go = trio.Event()
    model = scripted(["one", go])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await thread.start_turn("go")
        log = weakref.ref(turn._log)
        await model.waiting.wait()
        assert len(turn._log._events) > 3
        del turn
        gc.collect()
        assert log() is None
        assert actor(runtime, thread.id).core.turn.state is TurnState.RUNNING


async def test_a_handle_of_a_turn_that_has_ended_holds_only_what_it_shows(opened, scripted, actor):
    go = trio.Event()
    async with opened(scripted([go, "one"])) as runtime, runtime.start_thread() as thread:
        turn = await thread.start_turn("go")
        live = weakref.ref(actor(runtime, thread.id).core.turn)
        go.set()
        await turn.wait()
        await thread.read()  # the thread has handled the end
        gc.collect()
        assert live() is None
        assert turn.result.text == "one"


async def test_a_block_leaves_no_task_and_no_stream(opened, scripted, actor):
    async with opened(scripted(["one"], ["two"], ["three"])) as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("warm up")
        await wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        async with runtime.resume_thread(thread.id) as thread:
            [subscriber] = actor(runtime, thread.id).core.subscribers
            streams, events = subscriber.outbox, thread.events()
            turn = await thread.start_turn("go")
            reader = aiter(turn)
            await turn.wait()
            async with thread.turn("go") as block:
                pass
            assert list(streams._open) == [events]
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert events._outbox.closed
        assert turn._log.closed
        del turn, block, reader, events
        gc.collect()
        assert not list(streams._open)


# -- streams of one turn


async def test_each_iteration_has_all_events_of_the_turn(opened, scripted):
    go = trio.Event()
    model, seen = scripted(["one", go, "two"]), []
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await thread.start_turn("go")

        async def read():
            seen.append([event async for event in turn])

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await model.waiting.wait()
                nursery.start_soon(read)
                await wait_all_tasks_blocked()
                go.set()
            await read()  # after its end
    assert methods(seen[0])[0] == "turn/started"
    assert methods(seen[0])[-1] == "turn/completed"
    assert seen[0] == seen[1] == seen[2]
    assert said(seen[0]) == "onetwo"


async def test_an_iteration_goes_on_where_it_was_left(opened, scripted):
    async with opened(scripted(["one"])) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        events = aiter(turn)
        first = await anext(events)
        rest = [event async for event in events]
        assert [first, *rest] == [event async for event in turn]


async def test_a_turn_says_what_the_agent_has_said_so_far(opened, scripted):
    first, second, third = trio.Event(), trio.Event(), trio.Event()
    model = scripted([first, "he", second, "llo", COMMAND], [third])
    async with opened(model, config=FREE) as runtime, runtime.start_thread() as thread:
        turn, texts = await thread.start_turn("go"), []
        for event in (first, second, third):
            await model.waiting.wait()
            await wait_all_tasks_blocked()
            texts.append(turn.text)
            model.waiting = trio.Event()
            event.set()
        await turn.wait()
    assert texts == ["", "he", "hello"]
    assert turn.text == "hello"


async def test_a_reader_that_lags_changes_nothing_for_others(opened, scripted, monkeypatch):
    monkeypatch.setattr(turn_log, "KEPT", 600)
    model = scripted(["word " * 20, COMMAND], ["more " * 20, COMMAND], ["done"])
    async with opened(model, config=FREE) as runtime, runtime.start_thread() as thread:
        turn, seen = await thread.start_turn("go"), []
        slow = aiter(turn)
        assert (await anext(slow)).METHOD == "turn/started"

        async def read():
            seen.extend([event async for event in turn])

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
            with pytest.raises(spindle.SubscriberLagged):
                await anext(slow)
            with pytest.raises(spindle.SubscriberLagged):
                async for _ in turn:
                    pass
        assert methods(seen)[-1] == "turn/completed"
        assert said(seen) == "word " * 20 + "more " * 20 + "done"
        assert turn.result.text == "done"


async def test_a_failed_turn_raises_at_the_end_of_each_iteration(opened, scripted):
    model = scripted([ModelError("no luck", status=401)])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        for _ in range(2):
            seen: list[object] = []
            with pytest.raises(spindle.ProviderError) as caught:
                await collect(turn, seen)
            assert (methods(seen)[-1], caught.value.status) == ("turn/completed", 401)
        with pytest.raises(spindle.ProviderError):
            await turn.wait()
        assert turn.result.status == "failed"


async def test_the_streams_of_a_block_end_with_it(opened, scripted):
    model, seen = scripted(["one", trio.Event()]), []
    async with opened(model) as runtime, runtime.start_thread() as thread, trio.open_nursery() as nursery:
        with trio.fail_after(10):
            async with thread.turn("go") as turn:

                @nursery.start_soon
                async def _():
                    seen.extend([event async for event in turn])

                await model.waiting.wait()
            await wait_all_tasks_blocked()
        assert methods(seen)[-1] == "turn/completed"
        assert turn.result.status == "interrupted"
        assert not turn._log._events


# -- interrupting and steering from anywhere


async def test_one_handle_interrupts_while_another_iterates(opened, scripted):
    model, seen = scripted(["one", trio.Event()]), []
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(10):
            async with runtime.resume_thread(thread.id) as first, runtime.resume_thread(thread.id) as second:

                async def read():
                    async with first.turn("go") as turn:
                        seen.extend([event async for event in turn])
                    assert turn.result.status == "interrupted"

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read)
                    await model.waiting.wait()
                    await second.interrupt()
        for use in (second.interrupt, lambda: second.steer("more")):
            with pytest.raises(spindle.ThreadClosed):
                await use()
    assert methods(seen)[-1] == "turn/completed"


async def test_a_turn_of_a_client_is_steered_and_interrupted(opened, scripted, start_turn):
    go = trio.Event()
    model = scripted(["one", go], ["two", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        events = thread.events()
        turn = await start_turn(runtime, thread.id, "first")
        await model.waiting.wait()
        assert await thread.steer("second") == turn.id
        model.waiting = trio.Event()
        go.set()
        await model.waiting.wait()
        assert model.conversation()[-1] == "second"
        await thread.interrupt()
        with trio.fail_after(10):
            async for event in events:
                if event.METHOD == "turn/completed":
                    break
        assert event.turn.status == "interrupted"


async def test_a_turn_is_steered_and_interrupted_by_its_handle(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go], ["two", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await thread.start_turn("first")
        await model.waiting.wait()
        await turn.steer("second")
        model.waiting = trio.Event()
        go.set()
        await model.waiting.wait()
        assert model.conversation()[-1] == "second"
        await turn.interrupt()
        assert (await turn.wait()).status == "interrupted"
        with pytest.raises(spindle.RpcError, match="no active turn to interrupt"):
            await turn.interrupt()
        with pytest.raises(spindle.RpcError, match="no active turn to steer"):
            await turn.steer("more")


async def test_without_a_turn_there_is_nothing_to_interrupt_or_steer(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        with pytest.raises(spindle.RpcError, match="no active turn to interrupt"):
            await thread.interrupt()
        with pytest.raises(spindle.RpcError, match="no active turn to steer"):
            await thread.steer("more")
        with pytest.raises(spindle.RpcError, match="input must not be empty"):
            await thread.steer([])


async def test_a_handle_of_another_turn_does_not_interrupt_this_one(opened, scripted):
    model = scripted(["one"], ["two", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        first = await thread.start_turn("first")
        await first.wait()
        second = await thread.start_turn("second")
        await model.waiting.wait()
        with pytest.raises(spindle.RpcError, match="expected active turn id"):
            await first.interrupt()
        assert second.result is None


async def test_a_start_that_is_cancelled_starts_nothing(opened, scripted, actor):
    model = scripted(["one"], ["half", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, trio.open_nursery() as nursery:
        await thread.run("first")
        nursery.start_soon(thread.compact)
        await model.waiting.wait()
        with trio.CancelScope() as scope:

            @nursery.start_soon
            async def _():
                await wait_all_tasks_blocked()
                scope.cancel()

            await thread.start_turn("never")
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()
    assert "never" not in str(model.texts)


async def typed(thread: spindle.ThreadHandle) -> None:
    """Not run: what type checkers know of a turn, and what they refuse. An `ignore` that nothing needs is an error, too."""
    result = await thread.run("hi")
    assert_type(result, spindle.TurnResult[str])
    assert_type(result.output, str)
    assert_type(result.usage, spindle.Usage | None)
    wider: spindle.TurnResult[object] = result
    number: int = result.output  # type: ignore[assignment]
    result.output = "else"  # type: ignore[misc]
    async with thread.turn("hi") as block:
        assert_type(block, spindle.Turn)
    turn = await thread.start_turn("hi")
    assert_type(turn, spindle.Turn)
    assert_type(turn.result, spindle.TurnResult[str] | None)
    assert_type(await turn.wait(), spindle.TurnResult[str])
    assert_type(turn.text, str)
    turn.text = "else"  # type: ignore[misc]
    await turn.steer(7)  # type: ignore[arg-type]
    _ = turn.result.items  # type: ignore[union-attr]
    try:
        await turn.wait()
    except spindle.ProviderError as error:
        assert_type(error.status, int | None)
        assert_type(error.retry_after, float | None)
        assert_type(error.result, spindle.TurnResult[str])
        _ = error.turn  # type: ignore[attr-defined]
    _ = (wider, number)
