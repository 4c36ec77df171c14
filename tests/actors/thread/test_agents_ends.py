"""How agents end: with their turns, with their parents, and with their subscribers."""

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import Question
from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.thread import actor as thread_actor
from spindle.actors.thread.loading import agent as agent_opening
from spindle.actors.thread.loading import loading as thread_opening
from spindle.actors.thread.messages import Hold, InterruptTurn, StartTurn, Welcome
from spindle.actors.thread.turns.queue import OTHER_BOUNDS
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import TextInput

from .agent_plays import (
    FREE,
    agent_of,
    attach,
    call,
    close,
    leave,
    loaded,
    notice,
    notices,
    outputs_of,
    spawn,
    wait,
)


async def test_an_interrupt_of_the_parent_does_not_interrupt_its_agents(play, tmp_path):
    done = trio.Event()
    opening, _ = play(root=[[spawn()], [wait()]], child=[[done, "one"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        async with thread.turn("go") as turn:
            async for event in turn:
                if event.METHOD == "item/started" and getattr(event.item, "tool", None) == "wait":
                    [id] = event.item.receiver_thread_ids
                    await turn.interrupt()
        assert turn.result.status == "interrupted"
        assert runtime._backend.registry.turn_id(id) is not None
        done.set()


async def test_an_interrupted_spawn_leaves_no_agent(play, tmp_path, monkeypatch):
    reached, go_on, open_agent = trio.Event(), trio.Event(), agent_opening.open_agent

    async def slow(*given):
        reached.set()
        await go_on.wait()
        return await open_agent(*given)

    monkeypatch.setattr(thread_opening, "open_agent", slow)
    opening, cast = play(root=[[spawn()]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        async with thread.turn("go") as turn:
            async for event in turn:
                if event.METHOD == "item/started" and event.item.type == "collabAgentToolCall":
                    await reached.wait()
                    await turn.interrupt()
                if event.METHOD == "item/completed" and event.item.type == "collabAgentToolCall":
                    assert (event.item.status, event.item.receiver_thread_ids) == ("failed", [])
        go_on.set()
        await thread.run("again")
        assert (loaded(runtime), cast.parts["child"].requests, notices(cast)) == ([thread.id], [], [])


async def test_a_threads_subscribers_are_subscribed_to_its_agents_too(play, witness, tmp_path):
    done = trio.Event()
    opening, cast = play(root=[[spawn()]], child=[[done, "one"]])
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
            id = agent_of(outputs_of(cast))
            guest, own = Subscriber(Overflow.CLOSE), Subscriber(Overflow.CLOSE)
            for subscriber in (guest, own):
                await attach(runtime, thread.id, subscriber)
            await attach(runtime, id, own)
            await wait_all_tasks_blocked()
            assert guest.threads == own.threads == {thread.id, id}
            for subscriber in (guest, own):
                assert await leave(runtime, thread.id, subscriber) == "unsubscribed"
            await wait_all_tasks_blocked()
            assert (guest.threads, own.threads) == (set(), {id})
        closed = witness(runtime)
        done.set()
        assert (await closed.next("thread/closed")).thread_id == thread.id
        await wait_all_tasks_blocked()
        assert loaded(runtime) == [id]  # a client is subscribed to it
        assert await leave(runtime, id, own) == "unsubscribed"
        await runtime._backend.registry.all_gone()


async def test_a_thread_stays_loaded_until_its_agents_turns_have_ended(play, lines, tmp_path):
    done = trio.Event()
    opening, cast = play(root=[[spawn()]], child=[[done, "one"]])
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
            id = agent_of(outputs_of(cast))
        await wait_all_tasks_blocked()
        assert loaded(runtime) == sorted([thread.id, id])
        done.set()
        await runtime._backend.registry.all_gone()
        assert notice(id, {"completed": "one"}) in lines(thread)[-1]["content"][0]["text"]
    assert len(cast.parts["root"].requests) == 2


async def test_an_agent_at_rest_stays_loaded_as_long_as_its_parent(play, start_turn, tmp_path):
    done = trio.Event()
    opening, cast = play(root=[[spawn()], [wait()], ["ok"], [done, "two"]])
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
            await start_turn(runtime, thread.id, "again")
            await cast.parts["root"].waiting.wait()
        await wait_all_tasks_blocked()  # neither has a subscriber
        assert loaded(runtime) == sorted([thread.id, agent_of(outputs_of(cast))])
        done.set()
        await runtime._backend.registry.all_gone()


async def test_agents_without_subscribers_are_interrupted_if_turns_are(play, tmp_path):
    never = trio.Event()
    config = [*FREE, ("on_unsubscribe", "interrupt"), ("agents.max_depth", 2)]
    parts = {"child": [[spawn("grandchild deeper", id="deeper")], [never, "one"]], "grandchild": [[never, "two"]]}
    opening, cast = play(config, root=[[spawn()]], **parts)
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
            await cast.parts["grandchild"].waiting.wait()
            assert len(loaded(runtime)) == 3
        await runtime._backend.registry.all_gone()


async def test_agents_of_an_agent_are_closed_with_it(play, tmp_path):
    done = trio.Event()
    config = [*FREE, ("agents.max_depth", 2)]
    parts = {"child": [[spawn("grandchild deeper", id="deeper")], ["one"]], "grandchild": [[done, "two"]]}
    opening, cast = play(config, root=[[spawn()], [wait()]], **parts)
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await thread.run("go")
            id = agent_of(outputs_of(cast))
            own = Subscriber(Overflow.CLOSE)
            await attach(runtime, id, own)
        await wait_all_tasks_blocked()
        assert loaded(runtime) == sorted([id, agent_of(outputs_of(cast, "child"), "deeper")])
        assert await leave(runtime, id, own) == "unsubscribed"
        done.set()
        await runtime._backend.registry.all_gone()


async def test_an_agents_question_reaches_the_application(play, tmp_path):
    execute = call("exec_command", {"cmd": "touch x", "sandbox_permissions": "require_escalated", "justification": "j"}, "x")
    opening, cast = play([("approval_policy", "on-request")], root=[[spawn()], [wait()]], child=[[execute], ["one"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("go") as turn:
        asked = []
        async for event in turn:
            if isinstance(event, Question):
                asked.append(event.thread_id)
                event.decline()
            else:
                assert getattr(event, "thread_id", thread.id) == thread.id
        assert asked == [agent_of(outputs_of(cast))]
        assert turn.result.status == "completed"


async def test_an_agent_departs_even_if_its_rollout_cannot_be_closed(play, tmp_path, monkeypatch, caplog):
    opening, cast = play(root=[[spawn()], [wait()], ["ok"], [close()], ["closed"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        id = agent_of(outputs_of(cast))

        async def broken():
            raise OSError("no more")

        monkeypatch.setattr(runtime._backend.registry.directory.state(id).conversation, "close", broken)
        with trio.fail_after(5):
            assert (await thread.run("close it")).text == "closed"
        assert loaded(runtime) == [thread.id]
        assert "no more" in caplog.text


async def test_an_interrupted_resume_does_not_unload_an_agent_that_a_client_uses(play, tmp_path, monkeypatch):
    def resume(outputs):
        return call("resume_agent", {"id": agent_of(outputs)}, "resume")

    reached, go_on, hold = trio.Event(), trio.Event(), thread_actor._HANDLERS[Hold]

    async def slow(thread, message):
        reached.set()
        await go_on.wait()
        hold(thread, message)

    opening, cast = play(root=[[spawn()], [wait()], [close()], ["ok"], [resume]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        id = agent_of(outputs_of(cast))
        own = Subscriber(Overflow.CLOSE)
        await attach(runtime, id, own)
        monkeypatch.setitem(thread_actor._HANDLERS, Hold, slow)
        async with thread.turn("again") as turn:
            await reached.wait()
            await turn.interrupt()
        go_on.set()
        await wait_all_tasks_blocked()
        assert (own.threads, loaded(runtime)) == ({id}, sorted([thread.id, id]))
        assert await leave(runtime, id, own) == "unsubscribed"  # no parent holds it any more
        await wait_all_tasks_blocked()
        assert loaded(runtime) == [thread.id]


async def test_a_thread_waits_for_agents_turns_that_begin_meanwhile(play, tmp_path):
    asked, done = trio.Event(), trio.Event()
    opening, cast = play(root=[[asked, spawn()], ["ok"]], child=[[done, "one"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, trio.open_nursery() as nursery:
        idle, ran = trio.Event(), trio.Event()

        async def run():
            await thread.run("go")
            ran.set()

        nursery.start_soon(run)
        await cast.parts["root"].waiting.wait()

        async def watch():
            await runtime._backend.registry.idle()
            idle.set()

        nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        asked.set()
        await cast.parts["child"].waiting.wait()
        await ran.wait()
        await wait_all_tasks_blocked()
        assert not idle.is_set()
        done.set()
        await idle.wait()


@pytest.mark.parametrize("leaving", ["turn", "compaction"])
async def test_an_agents_question_is_not_lost_between_turns(play, tmp_path, leaving):
    go_on, never = trio.Event(), trio.Event()
    execute = call("exec_command", {"cmd": "touch x", "sandbox_permissions": "require_escalated", "justification": "j"}, "x")
    root = [[spawn()], ["ok"], [never, "long"] if leaving == "turn" else ["summary"], ["after"]]
    opening, cast = play([("approval_policy", "on-request")], root=root, child=[[go_on, execute], ["one"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("go")
        id = agent_of(outputs_of(cast))
        if leaving == "turn":
            async with thread.turn("again"):
                await cast.parts["root"].waiting.wait()
                go_on.set()
                while not runtime._backend.registry._actors[id].core.questions:
                    await trio.lowlevel.checkpoint()
        else:
            go_on.set()
            while not runtime._backend.registry._actors[id].core.questions:
                await trio.lowlevel.checkpoint()
            await thread.compact()
        async with thread.turn("third") as turn:
            questions = [event async for event in turn if isinstance(event, Question)]
        assert [question.thread_id for question in questions] == [id]
        questions[0].decline()


async def test_agents_started_while_their_parent_is_closed_are_closed_too(play, tmp_path, monkeypatch):
    closing, starting, never, go_on = trio.Event(), trio.Event(), trio.Event(), trio.Event()

    async def slow(thread, message):
        await go_on.wait()

    monkeypatch.setitem(thread_actor._HANDLERS, Welcome, slow)
    root = [[spawn()], [closing, close()], ["closed"]]
    parts = {"child": [[starting, spawn("grandchild deeper", id="deeper")]], "grandchild": [[never, "two"]]}
    opening, cast = play([*FREE, ("agents.max_depth", 2)], root=root, **parts)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, trio.open_nursery() as nursery:
        ran = trio.Event()

        async def run():
            assert (await thread.run("go")).text == "closed"
            ran.set()

        nursery.start_soon(run)
        for part in ("child", "root"):
            await cast.parts[part].waiting.wait()
        [id] = [id for id in loaded(runtime) if id != thread.id]
        nothing: Reply[None] = Reply(lambda _: None, lambda _: None)
        runtime._backend.registry._actors[id].mailbox.post(Welcome(reply=nothing, guest=Subscriber(Overflow.CLOSE)))
        closing.set()
        while id in loaded(runtime):
            await trio.lowlevel.checkpoint()
        starting.set()
        await cast.parts["grandchild"].waiting.wait()
        go_on.set()
        await ran.wait()
        assert loaded(runtime) == [thread.id]


async def test_a_waiting_turn_with_other_bounds_is_refused(play, tmp_path):
    never = trio.Event()
    told: list[Any] = []
    opening, cast = play(root=[[never, "one"]])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        async with thread.turn("go") as turn:
            await cast.parts["root"].waiting.wait()

            def start(text, **bounds):
                reply = Reply(told.append, told.append)
                params = TurnStartParams(thread_id=thread.id, input=[TextInput(text)])
                runtime._backend.registry.tell(thread.id, StartTurn(reply=reply, params=params, bounds=bounds))

            runtime._backend.registry.tell(thread.id, InterruptTurn(reply=Reply(told.append, told.append), turn_id=turn.id))
            start("next")
            start("other", cwd="/elsewhere")
            async for _ in turn:
                pass
        assert (await thread.run("again")).text == "ok"
        assert [type(each).__name__ for each in told] == ["NoneType", "Turn", "RpcError"]
        assert told[2].message == OTHER_BOUNDS
