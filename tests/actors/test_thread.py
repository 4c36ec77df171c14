"""Threads as their users see them: turns, ends, crashes, and what is left behind."""

import errno
import functools
import os
from collections import deque
from contextlib import aclosing, asynccontextmanager

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors import embedding
from spindle.actors.embedding import SubscriberLagged, TurnFailed
from spindle.actors.mailbox import Reply, answer
from spindle.actors.registry import ToThread
from spindle.actors.runtime import open_runtime
from spindle.actors.subscribers import Event, Overflow, Subscriber
from spindle.actors.thread.messages import InterruptTurn, LeaveNow, ReadThread, StartTurn
from spindle.actors.thread.thread import LOST_CLIENT_DELAY
from spindle.rpc.model.interface import Completed, Created, ItemAdded, ItemDone, ModelError, TextDelta
from spindle.rpc.model.offline import OfflineModel
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.items import TextInput
from spindle.rpc.protocol.turns import TurnStartParams


class Scripted:
    """A model whose answers are lists of what to say, events to wait for and errors to raise; then it says "ok"."""

    stream_max_retries = 0

    def __init__(self, *answers):
        self.answers = deque(answers)
        self.heard = []
        self.waiting = trio.Event()

    @asynccontextmanager
    async def stream(self, request):
        self.heard.append(
            [part["text"] for item in map(orjson.loads, request.input) for part in item.get("content", [])]
        )
        async with aclosing(self.play(self.answers.popleft() if self.answers else ["ok"])) as batches:
            yield batches

    async def play(self, answer):
        said = ""
        yield [Created("r"), ItemAdded(self.message(""))]
        for piece in answer:
            if isinstance(piece, trio.Event):
                self.waiting.set()
                await piece.wait()
            elif isinstance(piece, Exception):
                raise piece
            else:
                said += piece
                yield [TextDelta(piece, "m")]
        yield [ItemDone(self.message(said)), Completed("r", None)]

    @staticmethod
    def message(text):
        content = [{"type": "output_text", "text": text}]
        return {"type": "message", "role": "assistant", "id": "m", "content": content}

    async def aclose(self):
        pass


class Witness:
    """Hears what everybody hears."""

    def __init__(self, runtime):
        self.subscriber = Subscriber(Overflow.CLOSE)
        self.heard = []
        runtime.audience.join(self.subscriber)

    async def until(self, method, times=1):
        """Everything heard up to the notification."""
        while sum(said == method for said, _ in self.heard) < times:
            for event in await self.subscriber.outbox.take():
                assert isinstance(event, Event)
                self.heard.append((event.method, event.params))
        return self.heard

    async def statuses(self, times=1):
        """The statuses up to the close."""
        await self.until("thread/closed", times)
        return [params.status.type for method, params in self.heard if method == "thread/status/changed"]


@pytest.fixture
def opened(tmp_path):
    """opened(model, **options) -> a runtime to enter, in a home of its own."""

    def open_(model=None, **options):
        options = {"home": tmp_path / "home", "cwd": tmp_path, **options}
        return open_runtime(model=OfflineModel() if model is None else model, **options)

    return open_


def actor(runtime, thread_id):
    return runtime.registry._actors[thread_id]


async def start_turn(runtime, thread_id, text):
    """Start a turn that ends with no block of ours."""
    params = TurnStartParams(thread_id=thread_id, input=[TextInput(text)])
    message = lambda reply: runtime.registry.route(ToThread(thread_id, StartTurn(reply=reply, params=params)))  # noqa: E731
    return await answer(message)


async def read(runtime, thread_id):
    await answer(lambda reply: runtime.registry.route(ToThread(thread_id, ReadThread(reply=reply))))


async def stored_turns(runtime, thread_id):
    async with runtime.resume_thread(thread_id) as thread:
        return thread.info.thread.turns


def rollout(thread):
    with open(thread.info.thread.path, "rb") as file:
        return [orjson.loads(line) for line in file]


def recorded(thread, kind):
    return [line["payload"] for line in rollout(thread) if line["payload"].get("type") == kind]


# -- turns


async def test_a_turns_notifications_come_in_order(opened):
    async with opened(Scripted(["Hel", "lo"])) as runtime, runtime.start_thread() as thread:
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


async def test_what_is_announced_as_completed_is_in_the_rollout(opened):
    async with opened(Scripted(["Hello"])) as runtime, runtime.start_thread() as thread:
        async with thread.turn("hi") as turn:
            async for event in turn:
                if event.METHOD == "item/completed":
                    texts = [part["text"] for p in recorded(thread, "message") for part in p["content"]]
                    assert ("hi" if event.item.type == "userMessage" else "Hello") in texts
        assert len(recorded(thread, "task_complete")) == 1


async def test_statuses_of_a_life(opened):
    async with opened() as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
        assert await witness.statuses() == ["active", "idle", "notLoaded"]
        assert witness.heard[0][0] == "thread/started"


async def test_turns_build_on_each_other_and_on_what_was_stored(opened):
    model = Scripted(["one"], ["two"], ["three"])
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread:
            assert await thread.run("first") == "one"
            assert await thread.run("second") == "two"
        async with runtime.resume_thread(thread.id) as thread:
            assert [turn.status for turn in thread.info.thread.turns] == ["completed", "completed"]
            assert await thread.run("third") == "three"
    said = [text for text in model.heard[2] if text in ("first", "one", "second", "two", "third")]
    assert said == ["first", "one", "second", "two", "third"]


async def test_steering_adds_to_the_running_turn(opened):
    go = trio.Event()
    model = Scripted(["one", go], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
            await turn.steer("also this")
            go.set()
            events = [event async for event in turn]
        assert model.heard[1][-1] == "also this"
        assert turn.text == "two"
        assert [event.METHOD for event in events].count("turn/completed") == 1
        with pytest.raises(RpcError, match="no active turn to steer"):
            await turn.steer("too late")
        with pytest.raises(RpcError, match="no active turn to interrupt"):
            await turn.interrupt()


async def test_an_interrupted_turn_ends_and_is_recorded(opened):
    model = Scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
            await turn.interrupt()
            async for _ in turn:
                pass
        assert turn.result.status == "interrupted"
        assert [p["reason"] for p in recorded(thread, "turn_aborted")] == ["interrupted"]
        assert await thread.run("second") == "ok"


async def test_only_the_running_turn_can_be_interrupted(opened):
    go = trio.Event()
    model = Scripted(["one", go])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        with pytest.raises(RpcError, match="expected active turn id"):
            await answer(
                lambda reply: runtime.registry.route(ToThread(thread.id, InterruptTurn(reply=reply, turn_id="other")))
            )
        go.set()
        async for _ in turn:
            pass
        assert turn.result.status == "completed"


async def test_leaving_a_turns_block_early_interrupts_it(opened):
    model = Scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
        assert turn.result.status == "interrupted"
        assert len(recorded(thread, "turn_aborted")) == 1


async def test_a_second_client_joins_the_running_turn(opened):
    go = trio.Event()
    model = Scripted(["one", go], ["two"])
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
        assert model.heard[1][-1] == "me too"


@pytest.mark.parametrize("in_one_breath", [True, False])
async def test_a_turn_started_after_an_interrupt_is_the_next_turn(opened, in_one_breath):
    """It does not join a turn that will not take its input any more."""
    model = Scripted(["one", trio.Event()], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await start_turn(runtime, thread.id, "first")
        await model.waiting.wait()
        interrupt = InterruptTurn(reply=Reply(lambda _: None, lambda _: None), turn_id=turn.id)
        runtime.registry.route(ToThread(thread.id, interrupt))
        if not in_one_breath:
            await read(runtime, thread.id)
        second = await start_turn(runtime, thread.id, "second")
        assert second.id != turn.id
        ended = []
        async for event in thread.events():
            if event.METHOD == "turn/completed":
                ended.append((event.turn.id, event.turn.status))
                if event.turn.id == second.id:
                    break
        assert ended == [(turn.id, "interrupted"), (second.id, "completed")]
        assert model.heard[1][-1] == "second"


async def test_a_failed_turn_leaves_a_thread_that_works(opened):
    model = Scripted([ModelError("no luck", "other", retryable=False)], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with pytest.raises(TurnFailed, match="no luck"):
            await thread.run("first")
        assert await thread.run("second") == "two"


async def test_a_turn_that_does_not_reach_the_disk_fails_and_the_next_one_reads_what_is_there(opened, monkeypatch):
    def broken(_fd):
        raise OSError(errno.EIO, "Input/output error")

    model = Scripted(["one"], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with monkeypatch.context() as patch:
            patch.setattr("spindle.storage.rollout.journal._sync_data", broken)
            with pytest.raises(TurnFailed, match=r"the thread's history could not be saved: .*Input/output error"):
                await thread.run("first")
        assert await thread.run("second") == "two"
        assert model.heard[1].count("first") == model.heard[1].count("one") == 1
        assert [turn.status for turn in (await thread.read(include_turns=True)).turns] == ["completed", "completed"]


# -- the end of threads


async def test_the_last_subscriber_to_leave_closes_the_thread(opened):
    async with opened() as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
            async with runtime.resume_thread(thread.id) as same:
                assert same.id == thread.id
            assert runtime.registry.loaded() == [thread.id]
        await witness.until("thread/closed")
        assert not runtime.registry.is_loaded(thread.id)
        with pytest.raises(RpcError, match="thread not found"):
            await thread.read()


async def test_finish_lets_the_turn_end_before_the_thread_closes(opened):
    go = trio.Event()
    model = Scripted(["one", go])
    async with opened(model) as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
        assert runtime.registry.loaded() == [thread.id]
        go.set()
        assert await witness.statuses() == ["active", "idle", "notLoaded"]
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["completed"]


async def test_interrupt_ends_the_turn_with_the_last_subscriber(opened):
    model = Scripted(["one", trio.Event()])
    async with opened(model, config=[("on_unsubscribe", "interrupt")]) as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
        await witness.until("thread/closed")
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["interrupted"]


async def lose(runtime, thread):
    """The thread's client goes away without a word, and the thread has noticed."""
    [subscriber] = actor(runtime, thread.id).subscribers
    runtime.registry.leave_all(subscriber)
    await read(runtime, thread.id)
    await wait_all_tasks_blocked()


async def test_a_lost_client_is_waited_for(opened, mock_clock):
    async with opened() as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
            await lose(runtime, thread)
            mock_clock.jump(LOST_CLIENT_DELAY - 1)
            await wait_all_tasks_blocked()
            async with runtime.resume_thread(thread.id):
                mock_clock.jump(2)
                await wait_all_tasks_blocked()
                assert runtime.registry.loaded() == [thread.id]
                await lose(runtime, thread)
            mock_clock.jump(LOST_CLIENT_DELAY - 1)
            await wait_all_tasks_blocked()
            assert runtime.registry.loaded() == [thread.id]
            mock_clock.jump(1)
            await witness.until("thread/closed")


async def test_a_configured_delay_counts_for_an_explicit_leave_too(opened, mock_clock):
    async with opened(config=[("thread_unload_delay_secs", 7)]) as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            pass
        await wait_all_tasks_blocked()
        mock_clock.jump(6)
        await wait_all_tasks_blocked()
        assert runtime.registry.loaded() == [thread.id]
        mock_clock.jump(1)
        await witness.until("thread/closed")


async def test_the_turn_of_a_lost_client_is_interrupted_only_when_the_delay_is_over(opened, mock_clock):
    model = Scripted(["one", trio.Event()])
    async with opened(model, config=[("on_unsubscribe", "interrupt")]) as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
            await lose(runtime, thread)
            assert not actor(runtime, thread.id).turn.interrupted
            mock_clock.jump(LOST_CLIENT_DELAY)
            await witness.until("thread/closed")
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["interrupted"]


async def test_an_old_timer_does_not_end_a_thread(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        actor(runtime, thread.id).address.cast(LeaveNow(0))
        await thread.read()
        assert runtime.registry.loaded() == [thread.id]


async def test_archiving_closes_the_thread_for_everybody(opened):
    go = trio.Event()
    model = Scripted(["one", go])
    async with opened(model) as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread, thread.turn("first") as turn:
            await model.waiting.wait()
            await runtime.archive_thread(thread.id)
            assert [event.METHOD async for event in turn][-1] == "turn/completed"
            assert turn.result.status == "interrupted"
            assert [event async for event in thread.events()] == []
        await witness.until("thread/archived")
        assert [method for method, _ in witness.heard][-2:] == ["thread/closed", "thread/archived"]
        with pytest.raises(RpcError, match="no rollout found"):
            async with runtime.resume_thread(thread.id):
                pass


async def test_closing_the_runtime_interrupts_and_records_what_runs(opened):
    model = Scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
    assert len(recorded(thread, "turn_aborted")) == 1
    assert await witness.statuses() == ["active", "idle", "notLoaded"]
    with pytest.raises(RpcError, match="shutting down"):
        async with runtime.start_thread():
            pass


# -- crashes


async def test_a_crash_is_a_system_error_and_the_thread_can_be_resumed(opened, caplog):
    async with opened() as runtime, runtime.start_thread() as other:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            await thread.run("hi")
            actor(runtime, thread.id).address.cast("what no thread understands")
            assert [event async for event in thread.events()] == []
        assert (await witness.statuses())[-2:] == ["systemError", "notLoaded"]
        assert [method for method, _ in witness.heard].count("thread/closed") == 1
        assert "TypeError" in caplog.text
        async with runtime.resume_thread(thread.id) as again:
            assert [turn.status for turn in again.info.thread.turns] == ["completed"]
            assert "again" in await again.run("again")
        assert "still here" in await other.run("still here")


async def test_a_crash_in_the_middle_of_a_turn_records_it(opened):
    model = Scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread, thread.turn("first") as turn:
            await model.waiting.wait()
            actor(runtime, thread.id).address.cast("what no thread understands")
            async for _ in turn:
                pass
            assert turn.result.status == "interrupted"
        await witness.until("thread/closed")
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["interrupted"]


async def test_a_thread_that_cannot_be_loaded_is_an_answer_and_nothing_else(opened):
    async with opened() as runtime:
        witness = Witness(runtime)
        missing = "00000000-0000-7000-8000-000000000001"
        for _ in range(2):
            with pytest.raises(RpcError, match="no rollout found"):
                async with runtime.resume_thread(missing):
                    pass
        with pytest.raises(RpcError, match="Model provider `none` not found"):
            async with runtime.start_thread(model_provider="none"):
                pass
        assert runtime.registry.loaded() == []
        witness.subscriber.outbox.close()
        assert await witness.subscriber.outbox.take() == []


# -- kinds of threads and runtimes


async def test_an_ephemeral_thread_leaves_nothing(opened, tmp_path):
    model = Scripted(["one"], ["two"])
    async with opened(model) as runtime:
        async with runtime.start_thread(ephemeral=True) as thread:
            assert thread.info.thread.path is None
            assert await thread.run("first") == "one"
            assert await thread.run("second") == "two"
            assert "one" in model.heard[1]
            with pytest.raises(RpcError, match="includeTurns"):
                await thread.read(include_turns=True)
        with pytest.raises(RpcError, match="no rollout found"):
            async with runtime.resume_thread(thread.id):
                pass
    assert list(tmp_path.rglob("*.jsonl")) == []


async def test_a_second_task_joins_a_thread_that_has_had_no_turn(opened):
    async with (
        opened(Scripted(["hello"])) as runtime,
        runtime.start_thread() as one,
        runtime.resume_thread(one.id) as two,
    ):
        assert await one.run("x") == "hello"
        events = two.events()
        seen = [type(await anext(events)).__name__ for _ in range(3)]
        assert "TurnStartedNotification" in seen


async def test_a_turn_gives_out_nothing_of_the_turns_before_it(opened):
    model = Scripted(["first"], ["second"])
    async with opened(model) as runtime, runtime.start_thread() as one, runtime.resume_thread(one.id) as two:
        assert await one.run("a") == "first"
        async with two.turn("b") as turn:
            ids = {event.turn.id async for event in turn if hasattr(event, "turn")}
        assert ids == {turn.id}
        assert turn.text == "second"


async def test_two_runtimes_in_one_process(opened, tmp_path):
    async with opened(Scripted(["a"])) as one, opened(Scripted(["b"]), home=tmp_path / "other") as two:
        async with one.start_thread() as here, two.start_thread() as there:
            assert (await here.run("x"), await there.run("x")) == ("a", "b")
            assert one.registry.loaded() == [here.id]
            assert two.registry.loaded() == [there.id]
        with pytest.raises(RpcError, match="no rollout found"):
            async with two.resume_thread(here.id):
                pass


async def test_two_runtimes_on_one_home_do_not_write_to_one_thread_at_once(opened):
    go = trio.Event()
    model = Scripted(["one", go])
    async with opened(model) as one, opened(Scripted(["two"])) as two, one.start_thread() as thread:
        async with thread.turn("first") as turn:
            await model.waiting.wait()
            with pytest.raises(RpcError, match="already has an active writer"):
                async with two.resume_thread(thread.id):
                    pass
            go.set()
            async for _ in turn:
                pass
        async with two.resume_thread(thread.id) as same:
            assert await same.run("second") == "two"
        assert await thread.run("third") == "ok"
    assert model.heard[1].index("second") < model.heard[1].index("two") < model.heard[1].index("third")


# -- embedding


async def test_cancelling_a_block_interrupts_and_records_the_turn_before_it_is_left(opened):
    model = Scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        witness = Witness(runtime)
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
        await witness.until("thread/closed")
        assert runtime.registry.loaded() == []


async def test_cancelling_everything_records_the_turn(opened):
    model = Scripted(["one", trio.Event()])
    with trio.CancelScope() as scope:
        async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("first") as turn:
            async for event in turn:
                if event.METHOD == "item/agentMessage/delta":
                    await model.waiting.wait()
                    scope.cancel()
    assert scope.cancelled_caught
    assert len(recorded(thread, "turn_aborted")) == 1


async def test_a_cancelled_start_leaves_no_thread(opened):
    async with opened() as runtime:
        witness = Witness(runtime)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def start():
                    async with runtime.start_thread():
                        raise AssertionError("cancelled before")

                nursery.start_soon(start)
                await trio.lowlevel.checkpoint()
                scope.cancel()
        await witness.until("thread/closed")
        assert runtime.registry.loaded() == []


async def test_an_embedder_that_does_not_look_is_told_that_it_lagged(opened, monkeypatch):
    monkeypatch.setattr(embedding, "Subscriber", functools.partial(Subscriber, capacity=4))
    async with opened() as runtime:
        witness = Witness(runtime)
        async with runtime.start_thread() as thread:
            turn = await start_turn(runtime, thread.id, "hi")
            await actor(runtime, thread.id).turn.done.wait()
            with pytest.raises(SubscriberLagged):
                await anext(thread.events())
        await witness.until("thread/closed")
        [stored] = await stored_turns(runtime, thread.id)
        assert (stored.id, stored.status) == (turn.id, "completed")


async def test_lagging_does_not_hide_how_a_block_ended(opened, monkeypatch):
    monkeypatch.setattr(embedding, "Subscriber", functools.partial(Subscriber, capacity=4))
    async with opened() as runtime, runtime.start_thread() as thread:

        async def use():
            async with thread.turn("hi"):
                await actor(runtime, thread.id).turn.done.wait()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await use()


async def settled(runtime):
    """A task of its own, which may outlive the thread, keeps the end of a turn beside the rollout: wait for those under way."""
    await runtime.state.change(lambda db: None)
    await wait_all_tasks_blocked()


async def test_threads_that_came_and_went_leave_neither_tasks_nor_files(opened):
    threads = 200

    async def use(runtime):
        async with runtime.start_thread() as thread:
            await thread.run("hi")

    async with opened() as runtime:
        witness = Witness(runtime)
        await use(runtime)
        await witness.until("thread/closed")
        await settled(runtime)
        tasks, files = trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/dev/fd"))
        async with trio.open_nursery() as nursery:
            for _ in range(threads):
                nursery.start_soon(use, runtime)
        await witness.until("thread/closed", threads + 1)
        await settled(runtime)
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert len(os.listdir("/dev/fd")) == files
        assert runtime.registry.loaded() == []
