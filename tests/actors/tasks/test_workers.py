"""Slow functions of the application, and other work in worker threads, block no thread."""

import json
import threading

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

MANY = 45
"""More than trio runs at once."""


def calls(count):
    return [
        {"type": "function_call", "call_id": f"call-{n}", "name": "dawdle", "arguments": json.dumps({"x": n})}
        for n in range(count)
    ]


class Slow:
    """A function that runs until it is released."""

    def __init__(self):
        self.begun, self.go_on = [], threading.Event()
        self._more = trio.Event()

    @property
    def function(self):
        def dawdle(x: int) -> str:
            """Run until released."""
            trio.from_thread.run_sync(self._begin, x)
            assert self.go_on.wait(30)
            return "done"

        return dawdle

    def _begin(self, x):
        self.begun.append(x)
        self._more.set()
        self._more = trio.Event()

    async def until(self, count):
        with trio.fail_after(30):
            while len(self.begun) < count:
                await self._more.wait()


@pytest.fixture
def slow():
    made = Slow()
    yield made
    made.go_on.set()


async def test_slow_functions_block_no_other_thread(opened, scripted, slow):
    model = scripted(calls(MANY))
    async with opened(model) as runtime, runtime.start_thread(tools=[slow.function]) as thread, thread.turn("go") as turn:
        await slow.until(40)
        with trio.fail_after(30):
            async with runtime.start_thread() as other:
                assert (await other.run("hi")).text == "ok"
            async with runtime.resume_thread(other.id) as again:
                assert (await again.run("and again")).text == "ok"
        assert len(slow.begun) == 40
        slow.go_on.set()
        async for _ in turn:
            pass
        assert turn.result.status == "completed"
        assert len(slow.begun) == MANY


async def test_an_application_limits_how_many_of_its_functions_run_at_once(opened, scripted, slow):
    async with (
        opened(scripted(calls(5)), function_threads=2) as runtime,
        runtime.start_thread(tools=[slow.function]) as thread,
        thread.turn("go") as turn,
    ):
        await slow.until(2)
        await wait_all_tasks_blocked()
        assert len(slow.begun) == 2
        slow.go_on.set()
        async for _ in turn:
            pass
        assert sorted(slow.begun) == [0, 1, 2, 3, 4]


async def test_other_work_in_trios_worker_threads_blocks_no_rollout(opened, actor):
    taken = trio.to_thread.current_default_thread_limiter()
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("what is loaded once")
        takers = [object() for _ in range(int(taken.total_tokens))]
        for taker in takers:
            taken.acquire_on_behalf_of_nowait(taker)
        try:
            with trio.fail_after(30):
                assert (await thread.run("hi")).text == "ok"
                await thread.rename("a name")
        except trio.TooSlowError:
            pytest.fail("a turn waits for worker threads that others hold")
        finally:
            for taker in takers:
                taken.release_on_behalf_of(taker)
