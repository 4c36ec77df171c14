"""The boundary around a task: an Exception inside ends that task and nothing else; cancellation passes through.

A nursery is one-for-all. What runs in one that outlives a thread is started with `start_apart`, so that its failure is
logged with what it belonged to, and the threads beside it go on. An actor has the same boundary, but tells its watcher.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio

log = logging.getLogger("spindle")


def start_apart(nursery: trio.Nursery, what: str, work: Callable[..., Awaitable[object]], *args: Any) -> None:
    """Start `work(*args)` as a task of `nursery`. `what` names it in the log."""
    nursery.start_soon(_apart, what, work, args, name=what)


async def _apart(what: str, work: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
    try:
        await work(*args)
    except BaseException as exc:
        cancelled, error = sort_out(exc)
        if cancelled:
            raise
        log.error("%s failed", what, exc_info=error)


def sort_out(exc: BaseException) -> tuple[bool, Exception | None]:
    """(was it a cancellation, the failure). KeyboardInterrupt and its like are raised again."""
    if isinstance(exc, trio.Cancelled):
        return True, None
    if isinstance(exc, BaseExceptionGroup):
        rest: Any = cast("BaseExceptionGroup[BaseException]", exc).split(trio.Cancelled)[1]
        if rest is None:
            return True, None
        while isinstance(rest, BaseExceptionGroup) and len(cast("Any", rest).exceptions) == 1:
            rest = cast("Any", rest).exceptions[0]
        exc = cast("BaseException", rest)
    if isinstance(exc, Exception):
        return False, exc
    raise exc
