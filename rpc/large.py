"""What is large is encoded, decoded and written in a worker thread: the trio thread has other threads to serve meanwhile.

What is small stays where it is, because a change of threads takes longer than most of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes from which on something is large: a few hundred microseconds of work."""


async def apart(size: int, limiter: trio.CapacityLimiter | None, work: Callable[..., T], *args: object) -> T:
    """What `work` returns, which has `size` bytes to do. Cancelled, it does all of it or nothing."""
    if size < LARGE:
        return work(*args)
    return await trio.to_thread.run_sync(work, *args, limiter=limiter)
