"""Encode, decode and write large values in a worker thread, so that the trio thread can serve other threads.

Small values stay on the trio thread: handing them over would take longer than the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes. A value of this size takes a few hundred microseconds; a larger one is handed over."""


async def apart(size: int, limiter: trio.CapacityLimiter | None, work: Callable[..., T], *args: object) -> T:
    """Call `work`, in a worker thread if `size` (bytes) is large. A cancelled call is not left half done."""
    if size < LARGE:
        return work(*args)
    return await trio.to_thread.run_sync(work, *args, limiter=limiter)
