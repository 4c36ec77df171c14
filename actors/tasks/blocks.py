"""Nurseries behind the blocks that an application enters."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_block() -> AsyncGenerator[trio.Nursery]:
    """A nursery of which the application need not know: a single exception leaves it as it was raised, not in a group."""
    failed: BaseExceptionGroup[BaseException] | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        failed = group
    if failed is None:
        return
    others = [error for error in failed.exceptions if not isinstance(error, trio.Cancelled)]
    # raised out here, so that it does not carry the group as its context
    raise (others or failed.exceptions)[0] if len(others) < 2 else failed
