"""What is left in memory of tasks and threads that have ended: nothing."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from types import FrameType
from typing import Any
from weakref import ReferenceType

import trio
from trio.testing import wait_all_tasks_blocked

from spindle import Instrument, Runtime
from spindle.actors.tasks.boundary import Contained
from spindle.instruments import RequestInfo


async def test_a_cancelled_task_leaves_no_frames() -> None:
    async def once() -> None:
        async with trio.open_nursery() as nursery:
            Contained(nursery).start_soon(trio.sleep_forever)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    await once()
    gc.collect()
    gc.disable()
    try:
        await once()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [each.f_code.co_qualname for each in gc.garbage if isinstance(each, FrameType)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


THREADS = 12


async def round_of_threads(runtime: Runtime, model: Any, seen: Any) -> Counter[str]:
    """Load threads, run a turn in each, and unload them all; returns how many objects of each type are left."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(THREADS):
            thread = await stack.enter_async_context(runtime.start_thread())
            await thread.run("hello")
    await seen.until("thread/closed", THREADS)
    await wait_all_tasks_blocked()
    for kept in (model.requests, seen.notifications):
        kept.clear()
    gc.collect()
    objects = (type(each) for each in gc.get_objects())
    # sqlite3 keeps references to its last 200 cursors, dead ones too
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in objects if kind is not ReferenceType)


async def test_no_objects_stay_of_threads_that_were_unloaded(opened: Any, scripted: Any, witness: Any) -> None:
    model = scripted()
    async with opened(model) as runtime:
        seen = witness(runtime)
        await round_of_threads(runtime, model, seen)  # fills caches
        before = await round_of_threads(runtime, model, seen)
        after = await round_of_threads(runtime, model, seen)
    assert [kind for kind, count in (after - before).items() if count >= THREADS] == []


async def test_a_watched_request_is_freed_without_the_collector(opened: Any, scripted: Any) -> None:
    class Keeping(Instrument):
        def __init__(self) -> None:
            self.seen: list[ReferenceType[RequestInfo]] = []

        def request_ended(self, request: RequestInfo, outcome: object) -> None:
            self.seen.append(ReferenceType(request))

    model, keeping = scripted(), Keeping()
    async with opened(model, instruments=[keeping]) as runtime, runtime.start_thread() as thread:
        await thread.run("hello")
        gc.disable()
        try:
            await thread.run("again")
            model.requests.clear()
            assert [ref() for ref in keeping.seen[1:]] == [None]
        finally:
            gc.enable()
