"""The cancel sweep: each use of the interface can be cancelled at any step of any task.

`SPINDLE_SWEEP=all` tries every step; otherwise a sample is tried, by a fixed seed.
"""

import os
import random
from contextlib import aclosing, asynccontextmanager, contextmanager

import orjson
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

STEPS_TRIED = None if os.environ.get("SPINDLE_SWEEP") == "all" else 15
DETECTED = 1000.0
"""Seconds of the mock clock after which a use hangs. The clock jumps when no task can run."""
CONFIG = [
    ("sandbox_mode", "danger-full-access"),
    ("approval_policy", "untrusted"),
    ("features.apply_patch_freeform", True),
    ("on_unsubscribe", "interrupt"),  # a turn that goes on by itself ends with its last subscriber
]
PATCH = {
    "type": "custom_tool_call",
    "call_id": "c",
    "name": "apply_patch",
    "input": "*** Begin Patch\n*** Add File: made.txt\n+new\n*** End Patch\n",
}
"""It is asked about, and takes no process."""


class Steps(trio.abc.Instrument):
    """Counts every step of every task, and calls `at` before number `k`."""

    def __init__(self, k=0, at=None):
        self.count, self._k, self._at = 0, k, at

    def before_task_step(self, task):
        self.count += 1
        if self.count == self._k:
            self._at()

    @contextmanager
    def watching(self):
        trio.lowlevel.add_instrument(self)
        try:
            yield self
        finally:
            trio.lowlevel.remove_instrument(self)


def sticking(model):
    """Once it is `stuck` the model sends nothing more: a turn that is not interrupted then never ends."""
    stream = model.stream

    async def unstuck():
        await trio.lowlevel.checkpoint()
        if model.stuck:
            await trio.sleep_forever()

    async def until_stuck(batches):
        async for batch in batches:
            yield batch
            await unstuck()

    @asynccontextmanager
    async def stream_until_stuck(request):
        async with stream(request) as batches, aclosing(until_stuck(batches)) as played:
            yield played

    model.stuck = model.asked = False
    model.stream, model.unstuck = stream_until_stuck, unstuck
    return model


def tried(use, steps, most):
    """The steps to cancel at. The last one is too late on purpose."""
    every = range(1, steps + 2)
    return every if most is None else sorted(random.Random(use.__name__).sample(every, min(most, len(every))))


# -- the uses; each begins with a thread that has a turn on record, `old`


async def starting(runtime, model, old):
    async with runtime.start_thread() as thread:
        await thread.read()


async def iterating(runtime, model, old):
    async with runtime.resume_thread(old) as thread, thread.turn("go") as turn:
        async for _ in turn:
            pass


async def approving(runtime, model, old):
    async def ask(question):
        model.asked = True
        await model.unstuck()
        question.accept()

    model.answers.extend([["Let me ", PATCH], ["done"]])
    async with runtime.resume_thread(old, on_question=ask) as thread:
        await thread.run("go")


async def compacting(runtime, model, old):
    async with runtime.resume_thread(old) as thread:
        await thread.compact()


async def renaming(runtime, model, old):
    async with runtime.resume_thread(old) as thread:
        await thread.rename("name")
        await thread.read(include_turns=True)


async def forking(runtime, model, old):
    async with runtime.fork_thread(old) as thread:
        await thread.run("go")


async def logging(runtime, model, old):
    async def log(events):
        async for _ in events:
            pass

    async with runtime.resume_thread(old) as thread, trio.open_nursery() as nursery:
        nursery.start_soon(log, thread.events())
        await thread.run("go")
        nursery.cancel_scope.cancel()


async def sharing(runtime, model, old):
    model.answers.extend([["one", PATCH], ["two"]])

    async def ask(question):
        model.asked = True
        await model.unstuck()
        question.accept()

    async with runtime.resume_thread(old, on_question=ask) as thread, trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, "first")
        nursery.start_soon(thread.run, "second")


async def archiving(runtime, model, old):
    async with runtime.start_thread() as thread:
        await thread.run("go")
        await runtime.archive_thread(thread.id)


async def outliving(runtime, model, old):
    async with runtime.resume_thread(old) as thread:
        turn = await thread.start_turn("go")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn.wait)
            async for _ in turn:
                pass
        await turn.wait()


async def steering(runtime, model, old):
    model.answers.extend([["one"], ["two"]])
    async with runtime.resume_thread(old) as thread, runtime.resume_thread(old) as other:
        turn = await thread.start_turn("first")
        await turn.steer("second")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn.wait)
            await other.steer("third")
            await other.interrupt()
        assert turn.result.status == "interrupted"


USES = [starting, iterating, approving, compacting, renaming, forking, logging, sharing, archiving, outliving, steering]


def check_history(request, k):
    calls, outputs = [], []
    for item in map(orjson.loads, request.input):
        if item["type"].endswith("_output"):
            outputs.append(item["call_id"])
        elif item["type"].endswith("_call"):
            calls.append(item["call_id"])
    assert sorted(calls) == sorted(outputs), f"calls and outputs, cancelled at step {k}"


async def quiet(runtime):
    """Wait until no thread is loaded and all their tasks have ended."""
    while list(runtime._backend.registry._table):
        await runtime._backend.registry.all_gone()
    await runtime._backend.state.change(lambda db: None)
    await wait_all_tasks_blocked()


def stored(runtime):
    """The ids of the stored threads."""
    return {path.stem[-36:] for path in runtime.home.glob("sessions/**/*.jsonl")}


async def sweep(use, opened, scripted, folder):
    model = sticking(scripted())
    with trio.fail_after(DETECTED) as limit:
        async with opened(model, config=CONFIG, home=folder) as runtime:
            async with runtime.start_thread() as thread:
                await thread.run("hello")
            await quiet(runtime)
            await wait_all_tasks_blocked()
            tasks = trio.lowlevel.current_statistics().tasks_living
            seen = stored(runtime)

            async def at(k):
                """Returns how many steps there were. A rollout that is new, or changed, is resumed."""
                limit.deadline = trio.current_time() + DETECTED

                def cancel():
                    model.stuck = True
                    scope.cancel()

                with trio.CancelScope() as scope, Steps(k, cancel).watching() as steps:
                    await use(runtime, model, thread.id)
                await quiet(runtime)
                model.answers.clear()
                model.stuck = False
                assert trio.lowlevel.current_statistics().tasks_living == tasks, k
                assert not runtime._backend.services.questions._open, k
                assert not runtime._backend.registry._actors, k
                new = stored(runtime) - seen
                for id in {thread.id} | new:
                    async with runtime.resume_thread(id) as again:
                        turns = again.info.thread.turns
                        assert all(turn.status in ("completed", "interrupted") for turn in turns), k
                        assert (await again.run("and now?")).text == "ok", k
                        check_history(model.requests[-1], k)
                        await again.roll_back(len(turns))
                await quiet(runtime)
                seen.update(new)
                return steps.count

            steps = await at(0)
            assert use not in (approving, sharing) or model.asked
            for k in tried(use, steps, STEPS_TRIED):
                await at(k)
    return steps


@pytest.mark.parametrize("use", USES)
def test_a_use_may_be_cancelled_at_any_step(use, opened, scripted, tmp_path):
    async def main():
        return await sweep(use, opened, scripted, tmp_path / "home")

    assert trio.run(main, clock=MockClock(autojump_threshold=2)) > 10


@pytest.mark.parametrize("use", [approving, sharing, compacting, outliving])
def test_a_runtime_may_be_cancelled_at_any_step(use, opened, scripted, tmp_path):
    """The cancellation comes from outside of the runtime, which ends too."""

    async def ended(k):
        model, folder = sticking(scripted()), tmp_path / f"home{k}"

        def cancel():
            model.stuck = True
            scope.cancel()

        with trio.fail_after(DETECTED):
            with trio.CancelScope() as scope, Steps(k, cancel).watching() as steps:
                async with opened(model, config=CONFIG, home=folder) as runtime:
                    async with runtime.start_thread() as thread:
                        await thread.run("hello")
                    await use(runtime, model, thread.id)
            fresh = scripted()
            async with opened(fresh, home=folder) as runtime:
                for id in stored(runtime):
                    async with runtime.resume_thread(id) as again:
                        assert all(turn.status in ("completed", "interrupted") for turn in again.info.thread.turns), k
                        assert (await again.run("and now?")).text == "ok", k
                        check_history(fresh.requests[-1], k)
        return steps.count

    async def main():
        for k in tried(use, await ended(0), STEPS_TRIED and STEPS_TRIED // 2):
            await ended(k)

    trio.run(main, clock=MockClock(autojump_threshold=2))
