"""A cancelled task is freed at once: its exception keeps no frames until the garbage collector runs."""

from __future__ import annotations

import gc
from types import FrameType

import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tasks.boundary import Contained


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
