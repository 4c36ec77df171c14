"""A model that raises anything fails its turn and nothing else. The notified end of a turn is the recorded one."""

import errno
import os
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio

from spindle.actors.thread.messages import Compact, Review
from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.reviews import UncommittedChangesTarget


class Broken:
    """A model whose first stream raises `raised`, as it opens or after a batch; later ones are those of `after`."""

    stream_max_retries = 0

    def __init__(self, after, raised, where):
        self._after, self._raised, self._where = after, raised, where

    @asynccontextmanager
    async def stream(self, request):
        raised, self._raised = self._raised, None
        if raised is not None and self._where == "opening":
            raise raised
        async with self._after.stream(request) as batches:
            yield self._failing(batches, raised) if raised is not None else batches

    async def _failing(self, batches, raised):
        async for batch in batches:
            yield batch
            break
        raise raised

    async def aclose(self):
        pass


async def another_tasks_cancellation():
    """A Cancelled from another cancel scope than the turn's."""
    caught = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            caught.append(cancelled)
            raise
    return caught[0]


FAULTS = {
    "error": ValueError("foreign"),
    "group": ExceptionGroup("several", [OSError("one"), ValueError("two")]),
    "exit": SystemExit(3),
    "keyboard": KeyboardInterrupt(),
    "base": BaseException("worse"),
}


@pytest.mark.parametrize("where", ["opening", "streaming"])
@pytest.mark.parametrize("fault", [*FAULTS, "cancelled"])
async def test_a_model_that_raises_anything_fails_its_turn_and_nothing_else(opened, scripted, fault, where):
    raised = FAULTS[fault] if fault != "cancelled" else await another_tasks_cancellation()
    async with opened(Broken(scripted(), raised, where)) as runtime, runtime.start_thread() as other:
        async with runtime.start_thread() as thread:
            async with thread.turn("hi") as turn:
                with pytest.raises(Exception, match="internal error"):
                    _ = [event async for event in turn]
            assert turn.result.status == "failed"
            [shown] = (await thread.read(include_turns=True)).turns
            assert (shown.status, shown.duration_ms) == ("failed", turn.result.duration_ms)
            assert shown.error.message == turn.result.error.message
            assert (await thread.run("again")).text == "ok"
        assert (await other.run("still here")).text == "ok"


async def test_an_error_of_the_model_in_a_group_is_the_models_error(opened, scripted):
    raised = ExceptionGroup("of its nursery", [ModelError("over quota", "usageLimitExceeded")])
    async with opened(Broken(scripted(), raised, "streaming")) as runtime, runtime.start_thread() as thread:
        with pytest.raises(Exception, match=r"^over quota$"):
            await thread.run("hi")
        assert (await thread.run("again")).text == "ok"


class Untidy(Broken):
    """Fails while it cleans up after an interrupt, in its own nursery."""

    def __init__(self, after):
        super().__init__(after, None, "")
        self.waiting = trio.Event()

    @asynccontextmanager
    async def stream(self, request):
        if self.waiting.is_set():
            async with self._after.stream(request) as batches:
                yield batches
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fail_late)
            yield self._never()

    async def _fail_late(self):
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("could not clean up")

    async def _never(self):
        self.waiting.set()
        await trio.sleep_forever()
        yield []


async def interrupted(thread, model, turn):
    await model.waiting.wait()
    await turn.interrupt()
    return [event async for event in turn]


async def test_a_model_that_fails_while_it_is_interrupted_leaves_an_interrupted_turn(opened, scripted, caplog):
    model = Untidy(scripted())
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("hi") as turn:
            await interrupted(thread, model, turn)
        assert turn.result.status == "interrupted"
        assert "could not clean up" in caplog.text
        assert (await thread.run("again")).text == "ok"


async def end_of(thread):
    async for event in thread.events():
        if event.METHOD == "turn/completed":
            return event.turn
    raise AssertionError("the thread has ended")


KINDS = {
    "compaction": lambda reply: Compact(reply=reply, turn_id="0199-compaction"),
    "review": lambda reply: Review(reply=reply, turn_id="0199-review", target=UncommittedChangesTarget()),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_notified_end_of_an_interrupted_turn_is_what_is_read_back(opened, scripted, actor, kind, recorded):
    model = scripted(["ok"], ["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        mailbox = actor(runtime, thread.id).mailbox
        await mailbox.ask(KINDS[kind])
        await model.waiting.wait()
        actor(runtime, thread.id).core.turn.interrupt()
        told = await end_of(thread)
        assert told.status == "interrupted"
        shown = (await thread.read(include_turns=True)).turns[-1]
        assert (shown.id, shown.status) == (told.id, "interrupted")
        assert (shown.duration_ms, shown.completed_at) == (told.duration_ms, told.completed_at)
        [end] = [line for line in recorded(thread, "turn_aborted") if line["turn_id"] == told.id]
        assert (end["duration_ms"], end["completed_at"]) == (told.duration_ms, told.completed_at)
        assert (await thread.run("again")).text == "ok"


@pytest.mark.parametrize("call", ["write", "fdatasync"])
async def test_a_turn_whose_history_could_not_be_saved_is_read_back_as_failed(
    opened, scripted, stored_turns, recorded, monkeypatch, call
):
    go_on = trio.Event()
    model = scripted(["one", go_on, " two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("hi") as turn:
            await model.waiting.wait()
            failures = [OSError(errno.ENOSPC, "No space left on device")]
            usual = getattr(os, call)

            def full(*args):
                if failures:
                    raise failures.pop()
                return usual(*args)

            monkeypatch.setattr(f"spindle.storage.rollout.journal.os.{call}", full)
            go_on.set()
            with pytest.raises(Exception, match="history could not be saved"):
                _ = [event async for event in turn]
        assert not failures
        [shown] = (await thread.read(include_turns=True)).turns
        assert (shown.status, shown.error.message) == ("failed", turn.result.error.message)
        assert (await thread.run("again")).text == "ok"
        assert not recorded(thread, "turn_aborted")
    async with opened() as runtime:
        assert [turn.status for turn in await stored_turns(runtime, thread.id)] == ["failed", "completed"]


async def test_the_notified_duration_of_a_turn_is_the_recorded_one(opened, recorded, monkeypatch):
    clock = iter(range(10**6))
    ticking = SimpleNamespace(time=lambda: next(clock), monotonic=lambda: next(clock))
    monkeypatch.setattr("spindle.actors.thread.turns.live.time", ticking)
    async with opened() as runtime, runtime.start_thread() as thread:
        async with thread.turn("hi") as turn:
            _ = [event async for event in turn]
        [end] = recorded(thread, "task_complete")
        assert end["duration_ms"] == turn.result.duration_ms
        assert end["completed_at"] == turn.result.completed_at
        [shown] = (await thread.read(include_turns=True)).turns
        assert shown.duration_ms == turn.result.duration_ms
