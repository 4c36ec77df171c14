"""A boundary around a task: an exception in it is logged and ends only this task. Cancellation passes through.

In a nursery, one failing task cancels all others. A task in a nursery that outlives a thread is therefore started with
`start_apart`, which logs a failure with what it belonged to. `Contained` does this for all tasks of one nursery. An actor has
the same boundary, but reports the failure to its watcher.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import trio

from spindle.actors.tasks.faults import fault, keyboard
from spindle.actors.tasks.log_ids import log_as

log = logging.getLogger("spindle")


def start_apart(nursery: Tasks, what: str, work: Callable[..., Awaitable[object]], *args: Any) -> None:
    """Start `work(*args)` as a task of `nursery`. `what` names it in the log."""
    nursery.start_soon(_outlive, what, work, args, name=what)


class Tasks(Protocol):
    """Where tasks can be started: a trio.Nursery, or `Contained`."""

    def start_soon(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None) -> None:
        """See trio.Nursery."""

    async def start(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
        """See trio.Nursery."""


class Contained:
    """Starts tasks in `nursery`, each behind a boundary: an exception in one is logged, cancellation passes.

    outlives: the tasks of `start_soon` outlive the threads that they are started for.
    """

    def __init__(self, nursery: trio.Nursery, *, outlives: bool = False) -> None:
        self._nursery = nursery
        self._run = _outlive if outlives else _apart

    def start_soon(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None) -> None:
        """See trio.Nursery."""
        what = name if isinstance(name, str) else _named(async_fn)
        self._nursery.start_soon(self._run, what, async_fn, args, name=async_fn if name is None else name)

    async def start(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
        """See trio.Nursery. An exception before the task has started is raised."""
        return await self._nursery.start(_started, async_fn, args, name=async_fn)


async def _outlive(what: str, work: Callable[..., Awaitable[object]], args: Sequence[Any]) -> None:
    log_as(None)  # the task may have been started for a thread, and outlives it
    await _apart(what, work, args)


async def _apart(what: str, work: Callable[..., Awaitable[object]], args: Sequence[Any]) -> None:
    try:
        await work(*args)
    except BaseException as raised:
        _log(raised, what)


async def _started(
    work: Callable[..., Awaitable[Any]], args: Sequence[Any], *, task_status: trio.TaskStatus[Any]
) -> None:
    status = _Status(task_status)
    try:
        await work(*args, task_status=status)
    except BaseException as raised:
        if not status.given:
            raise
        _log(raised, _named(work))


class _Status:
    def __init__(self, status: trio.TaskStatus[Any]) -> None:
        self._status = status
        self.given = False

    def started(self, value: Any = None) -> None:
        self.given = True
        self._status.started(value)


def _named(work: Callable[..., Awaitable[Any]]) -> str:
    return f"the task {getattr(work, '__qualname__', work)}"


def _log(raised: BaseException, what: str) -> None:
    try:
        if keyboard(raised):
            raise raised
        log.error("%s failed", what, exc_info=fault(raised, what))
    finally:
        del raised  # see `fault`
