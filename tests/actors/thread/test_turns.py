"""Turns as clients see them: their notifications, their ends, and who joins them."""

import errno
import os
import sys
import threading

import pytest
import trio

from spindle import TurnFailed
from spindle.actors.kernel.mailbox import Reply, answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import InterruptTurn
from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.errors import RpcError
from spindle.storage.rollout.journal import Journal


async def test_a_turns_notifications_come_in_order(opened, scripted):
    async with opened(scripted(["Hel", "lo"])) as runtime, runtime.start_thread() as thread:
        async with thread.turn("hi") as turn:
            events = [event async for event in turn]
        methods = [event.METHOD for event in events]
        assert methods == [
            "turn/started",
            "item/started",
            "item/completed",
            "item/started",
            "item/agentMessage/delta",
            "item/agentMessage/delta",
            "item/completed",
            "thread/readState/changed",
            "turn/completed",
        ]
        assert [event.item.type for event in events if event.METHOD == "item/completed"] == [
            "userMessage",
            "agentMessage",
        ]
        assert turn.text == "Hello"
        assert turn.result.status == "completed"
        assert {event.turn_id for event in events if hasattr(event, "turn_id")} == {turn.id}


async def test_a_turn_notified_as_completed_is_in_the_rollout(opened, scripted, recorded):
    async with opened(scripted(["Hello"])) as runtime, runtime.start_thread() as thread:
        async with thread.turn("hi") as turn:
            async for event in turn:
                if event.METHOD == "item/completed":
                    texts = [part["text"] for p in recorded(thread, "message") for part in p["content"]]
                    assert ("hi" if event.item.type == "userMessage" else "Hello") in texts
        assert len(recorded(thread, "task_complete")) == 1


async def test_only_the_first_of_two_turns_opens_the_rollout_in_a_worker_thread(opened, monkeypatch, recorded):
    if sys.platform != "linux":
        pytest.skip("elsewhere a local disk is not recognized")
    monkeypatch.setattr(os, "major", lambda device: 8)
    openings, begin = [], Journal.begin

    def counted(journal, lines=()):
        openings.append(threading.current_thread() is threading.main_thread())
        return begin(journal, lines)

    monkeypatch.setattr(Journal, "begin", counted)
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        await thread.run("hi")
        assert len(recorded(thread, "task_complete")) == 2
    assert openings == [False]


async def test_the_statuses_of_a_thread_from_start_to_end(opened, witness):
    async with opened() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
        assert await seen.statuses() == ["active", "idle", "notLoaded"]
        assert seen.notifications[0][0] == "thread/started"


async def test_turns_continue_the_history_also_after_a_resume(opened, scripted):
    model = scripted(["one"], ["two"], ["three"])
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread:
            assert (await thread.run("first")).text == "one"
            assert (await thread.run("second")).text == "two"
        async with runtime.resume_thread(thread.id) as thread:
            assert [turn.status for turn in thread.info.thread.turns] == ["completed", "completed"]
            assert (await thread.run("third")).text == "three"
    said = [text for text in model.texts[2] if text in ("first", "one", "second", "two", "third")]
    assert said == ["first", "one", "second", "two", "third"]


async def test_a_personality_is_sent_when_it_is_chosen(opened, scripted, actor):
    model = scripted()
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("one")
            await thread.run("two", personality="friendly")
            await thread.run("three")
        async with runtime.resume_thread(thread.id) as thread:
            assert actor(runtime, thread.id).core.state.settings.personality == "friendly"
            await thread.run("four")
            await thread.run("five", personality="pragmatic")
        async with runtime.start_thread(personality="pragmatic") as thread:
            await thread.run("six")
    told = [sum(text.startswith("<personality_spec>") for text in texts) for texts in model.texts]
    assert told == [0, 1, 1, 1, 2, 1]


async def test_the_effort_of_one_model_is_not_resumed_with_another(opened, scripted):
    async with opened(scripted()) as runtime:
        async with runtime.start_thread(model="gpt-5.2") as thread:
            await thread.run("one", effort="xhigh")
        async with runtime.resume_thread(thread.id) as again:
            assert (again.info.model, again.info.reasoning_effort) == ("gpt-5.2", "xhigh")
        async with runtime.resume_thread(thread.id, model="gpt-5.1-codex-mini") as again:
            assert (again.info.model, again.info.reasoning_effort) == ("gpt-5.1-codex-mini", None)


async def test_steering_adds_to_the_running_turn(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
            await turn.steer("also this")
            go.set()
            events = [event async for event in turn]
        assert model.texts[1][-1] == "also this"
        assert turn.text == "two"
        assert [event.METHOD for event in events].count("turn/completed") == 1
        with pytest.raises(RpcError, match="no active turn to steer"):
            await turn.steer("too late")
        with pytest.raises(RpcError, match="no active turn to interrupt"):
            await turn.interrupt()


async def test_an_interrupted_turn_ends_and_is_recorded(opened, scripted, recorded):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
            await turn.interrupt()
            async for _ in turn:
                pass
        assert turn.result.status == "interrupted"
        assert [p["reason"] for p in recorded(thread, "turn_aborted")] == ["interrupted"]
        assert (await thread.run("second")).text == "ok"


async def test_only_the_running_turn_can_be_interrupted(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        with pytest.raises(RpcError, match="expected active turn id"):
            await answer(
                lambda reply: runtime._backend.registry.route(ToThread(thread.id, InterruptTurn(reply=reply, turn_id="other")))
            )
        go.set()
        async for _ in turn:
            pass
        assert turn.result.status == "completed"


async def test_leaving_a_turns_block_early_interrupts_it(opened, scripted, recorded):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
        assert turn.result.status == "interrupted"
        assert len(recorded(thread, "turn_aborted")) == 1


async def test_a_second_client_joins_the_running_turn(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        async with runtime.resume_thread(thread.id) as same:
            [shown] = same.info.thread.turns
            assert shown.id == turn.id
            assert [item.type for item in shown.items] == ["userMessage", "agentMessage"]
            async with same.turn("me too") as joined:
                assert joined.id == turn.id
                go.set()
                async for _ in joined:
                    pass
                async for _ in turn:
                    pass
        assert (turn.text, joined.text) == ("two", "two")
        assert model.texts[1][-1] == "me too"


@pytest.mark.parametrize("in_one_breath", [True, False])
async def test_a_turn_started_after_an_interrupt_is_the_next_turn(opened, scripted, start_turn, in_one_breath):
    """It does not join a turn that takes no more input."""
    model = scripted(["one", trio.Event()], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await start_turn(runtime, thread.id, "first")
        await model.waiting.wait()
        interrupt = InterruptTurn(reply=Reply(lambda _: None, lambda _: None), turn_id=turn.id)
        runtime._backend.registry.route(ToThread(thread.id, interrupt))
        if not in_one_breath:
            await thread.read()
        second = await start_turn(runtime, thread.id, "second")
        assert second.id != turn.id
        ended = []
        async for event in thread.events():
            if event.METHOD == "turn/completed":
                ended.append((event.turn.id, event.turn.status))
                if event.turn.id == second.id:
                    break
        assert ended == [(turn.id, "interrupted"), (second.id, "completed")]
        assert model.texts[1][-1] == "second"


async def test_a_thread_works_after_a_failed_turn(opened, scripted):
    model = scripted([ModelError("no luck", "other", retryable=False)], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with pytest.raises(TurnFailed, match="no luck"):
            await thread.run("first")
        assert (await thread.run("second")).text == "two"


async def test_a_turn_that_does_not_reach_the_disk_fails_and_the_next_one_reloads_the_rollout(
    opened, scripted, monkeypatch
):
    def broken(_fd):
        raise OSError(errno.EIO, "Input/output error")

    model = scripted(["one"], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with monkeypatch.context() as patch:
            patch.setattr("spindle.storage.rollout.journal.sync_data", broken)
            with pytest.raises(TurnFailed, match=r"the thread's history could not be saved: .*Input/output error"):
                await thread.run("first")
        assert (await thread.run("second")).text == "two"
        assert model.texts[1].count("first") == model.texts[1].count("one") == 1
        assert [turn.status for turn in (await thread.read(include_turns=True)).turns] == ["failed", "completed"]
