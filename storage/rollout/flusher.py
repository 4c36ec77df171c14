"""Grouping of disk syncs: turns that end together share one trip to a worker thread."""

from __future__ import annotations

from typing import Protocol

import trio

from spindle.storage.rollout.journal import JournalError

SYNCS = 8
"""Worker threads that sync at once; nothing else can hold them."""


class Syncable(Protocol):
    """What can be brought to disk, by a blocking call that raises JournalError: a `Journal`. Told apart by identity."""

    def sync(self) -> None:
        """Return once everything appended so far is on disk."""


class _Waiter:
    """One task waiting for one journal: woken with the failure, with None, or to look after itself."""

    __slots__ = ("done", "error", "left_alone")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None
        self.left_alone = False


class Flusher:
    """Syncs journals for concurrent turns; `run` is one task in the nursery of whoever owns the threads.

    Each round takes every journal that is waiting and syncs them one after the other in a single worker-thread hop;
    what comes in meanwhile makes the next round. The hop costs more than most syncs, and the first sync of a round
    usually makes the file system commit the others too.
    """

    def __init__(self) -> None:
        self._waiting: dict[Syncable, list[_Waiter]] = {}
        self._wake = trio.Event()
        self._running = False
        self._limiter = trio.CapacityLimiter(SYNCS)

    async def sync(self, journal: Syncable) -> None:
        """Return once what has been appended to the journal is on disk. Works without `run` too, ungrouped.

        Raises JournalError.
        """
        if self._running:
            waiter = _Waiter()
            self._waiting.setdefault(journal, []).append(waiter)
            self._wake.set()
            await waiter.done.wait()
            if waiter.error is not None:
                raise waiter.error
            if not waiter.left_alone:
                return
        await trio.to_thread.run_sync(journal.sync, limiter=self._limiter)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve `sync` until cancelled; those still waiting then sync by themselves."""
        self._running = True
        round_: dict[Syncable, list[_Waiter]] = {}
        task_status.started()
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                round_, self._waiting = self._waiting, {}
                try:
                    errors = await trio.to_thread.run_sync(_sync_all, list(round_), limiter=self._limiter)
                except Exception as error:  # no worker thread: the callers fail, and the next round is tried again
                    errors = [_failed(error)] * len(round_)
                for (_, waiters), failure in zip(round_.items(), errors, strict=True):
                    for waiter in waiters:
                        waiter.error = failure
                        waiter.done.set()
                round_ = {}
        finally:
            self._running = False
            left = [waiter for group in (round_, self._waiting) for waiters in group.values() for waiter in waiters]
            self._waiting = {}
            for waiter in left:
                waiter.left_alone = True
                waiter.done.set()


def _failed(error: Exception) -> JournalError:
    return error if isinstance(error, JournalError) else JournalError(f"cannot sync: {error}")


def _sync_all(journals: list[Syncable]) -> list[Exception | None]:
    errors: list[Exception | None] = []
    for journal in journals:
        try:
            journal.sync()
        except Exception as error:
            errors.append(_failed(error))
        else:
            errors.append(None)
    return errors
