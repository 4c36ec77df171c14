"""Nurseries inside the `async with` blocks of the embedding interface."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_block() -> AsyncGenerator[trio.Nursery]:
    """A nursery that the application does not see: a single exception leaves the block as it was raised, not in a group."""
    failed: BaseExceptionGroup[BaseException] | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        failed = group
    if failed is None:
        return
    others = [error for error in failed.exceptions if not isinstance(error, trio.Cancelled)]
    # raised outside of the except block: its context is not the group
    raise (others or failed.exceptions)[0] if len(others) < 2 else failed
