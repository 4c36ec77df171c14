"""Async access to the state: in one worker thread, opened at first use, concurrent changes grouped into one commit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define

from spindle.storage.home import Home
from spindle.storage.state.unavailable import StateUnavailable

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

log = logging.getLogger("spindle")


@define(eq=False)
class _Job:
    """One change and its result."""

    work: Callable[[sqlite3.Connection], Any]
    durable: bool
    done: bool = False
    result: Any = None
    error: Exception | None = None


class StateStore:
    """The state of one home. Work is a function of the connection, and runs in a transaction.

    A failure concerns only its caller: the rest of the server does not depend on the state. After a failure the file is
    opened again, so a full disk or a long-held lock harms only the requests at that time.
    """

    def __init__(self, home: Home) -> None:
        self.path: Path = home.spindle / "state.sqlite"
        self._limiter = trio.CapacityLimiter(1)
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[_Job] = []
        self._turn = trio.Lock()

    async def read(self, work: Callable[[sqlite3.Connection], T], default: T) -> T:
        """Run `work` and return its result; `default` if there is no file, which is not created. Raises StateUnavailable."""
        return await trio.to_thread.run_sync(self._read, work, default, limiter=self._limiter)

    async def read_or(self, work: Callable[[sqlite3.Connection], T], default: T) -> T:
        """As `read`; if the state is unavailable, log it and return `default`."""
        try:
            return await self.read(work, default)
        except StateUnavailable as error:
            log.warning("%s", error)
            return default

    async def change(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Run `work`, commit, and return its result. If `work` raises, its changes are rolled back.

        Without `durable` the commit is not fsynced: it survives the end of the process, but maybe not of the machine.

        Changes that arrive during a commit are committed together by the first of them. A change that is cancelled
        before its commit begins is not made; afterwards it is. Raises StateUnavailable.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        job = _Job(work, durable)
        self._waiting.append(job)
        try:
            async with self._turn:
                if not job.done:
                    jobs, self._waiting = self._waiting, []
                    with trio.CancelScope(shield=True):
                        try:
                            await trio.to_thread.run_sync(self._change, jobs, limiter=self._limiter)
                        except Exception as error:  # the other changes of this commit must not count as made
                            for each in jobs:
                                each.done, each.error = True, StateUnavailable(f"the thread state failed: {error}")
                            raise
        finally:
            if job in self._waiting:
                self._waiting.remove(job)
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        """Close the file. The next use opens it again."""
        await trio.to_thread.run_sync(self._close, limiter=self._limiter)

    # -- in the worker thread

    def _read(self, work: Callable[[sqlite3.Connection], T], default: T) -> T:
        if self._connection is None and not self.path.exists():
            return default
        import sqlite3

        from spindle.storage.state.database import unavailable

        try:
            connection = self._open()
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._close()
            raise unavailable(self.path, error) from error

    def _change(self, jobs: list[_Job]) -> None:

        from spindle.storage.state.database import unavailable

        try:
            connection = self._open()
            full = any(job.durable for job in jobs)
            connection.execute("PRAGMA synchronous = FULL" if full else "PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._run(connection, job)
            connection.execute("COMMIT")
        except Exception as error:
            self._close()  # rolls back
            reported = error if isinstance(error, StateUnavailable) else unavailable(self.path, error)
            for job in jobs:
                job.error = reported
        for job in jobs:
            job.done = True

    @staticmethod
    def _run(connection: sqlite3.Connection, job: _Job) -> None:
        import sqlite3

        connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except sqlite3.Error:
            raise
        except Exception as error:
            job.error = error
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")

    def _open(self) -> sqlite3.Connection:
        from spindle.storage.state.database import open_database

        if self._connection is None:
            self._connection = open_database(self.path)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
