"""Group fsyncs: turns that end together share one worker-thread call."""

from __future__ import annotations

import logging
import time
from typing import Protocol

import trio

from spindle.storage.rollout.journal import JournalError

log = logging.getLogger("spindle.journal")

SYNCS = 8
"""The limit of worker threads for fsyncs only."""


class Syncable(Protocol):
    """Something to fsync with a blocking call that raises JournalError: a `Journal`. Compared by identity."""

    def sync(self) -> None:
        """Return when all bytes appended so far are on disk."""


class _Waiter:
    """One task that waits for one journal. It is woken with a failure, with None, or to sync by itself."""

    __slots__ = ("done", "error", "left_alone")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None
        self.left_alone = False


class Flusher:
    """Syncs journals for concurrent turns; `run` is a task in the nursery of the threads' owner.

    Each round syncs all waiting journals, one after the other, in one worker-thread call. Journals that arrive
    meanwhile form the next round. The call costs more than most fsyncs, and the first fsync of a round usually makes
    the file system commit the others, too.
    """

    def __init__(self) -> None:
        self._waiting: dict[Syncable, list[_Waiter]] = {}
        self._wake = trio.Event()
        self._running = False
        self._limiter = trio.CapacityLimiter(SYNCS)

    async def sync(self, journal: Syncable) -> None:
        """Return when the journal's appended bytes are on disk. Without `run` it works ungrouped.

        Raises JournalError.
        """
        began = time.monotonic()
        await self._sync(journal)
        log.debug("a rollout is synced after %.1f ms", (time.monotonic() - began) * 1000)

    async def _sync(self, journal: Syncable) -> None:
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
        """Serve `sync` until cancelled; tasks that still wait then sync by themselves."""
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
                except Exception as error:  # no worker thread: these callers fail, the next round tries again
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
