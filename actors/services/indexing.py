"""The thread index in trio: one worker thread answers lists, another keeps the index up to date.

Until the index has caught up with the files, a list is read from the files if few files are enough. A list that needs very many
files waits for the index, which reads them no more slowly. The first lists of a process do not even open the index.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from spindle.storage.home import Home
from spindle.storage.threads.listing import TooMuchToRead, list_threads
from spindle.storage.threads.locate import locate, locate_archived, locate_file
from spindle.storage.threads.query import ThreadPage, ThreadQuery

if TYPE_CHECKING:
    from spindle.storage.index import ThreadIndex
    from spindle.storage.rollout.outliner import Outliner

log = logging.getLogger("spindle")

PAUSE = 0.05
"""Seconds from a list to catching up, which would take the processor from the answer. A list that has to wait skips this."""

LOOK_AGAIN = 30.0
"""Seconds after which all files are checked for changes again, if lists are requested."""

HEADS = 500
"""How many files a list may open before it waits for the index. A page of a plain list needs far fewer."""

FIRST_HEADS = 64
"""How many files a plain list may open before it opens an index that may have to catch up: importing SQLite and opening the
index takes as long as reading so many.
"""


class _Kept:
    """The outlines in the index, which is opened when the first outline is needed."""

    def __init__(self, indexing: Indexing) -> None:
        self._indexing = indexing

    def outline(self, path: Path) -> bytes | None:
        """See `rollout.outlines.Outlines`."""
        return self._indexing.index.outlines.outline(path)

    def keep_outline(self, path: Path, inode: int, size: int, data: bytes) -> None:
        """See `rollout.outlines.Outlines`."""
        self._indexing.index.outlines.keep_outline(path, inode, size, data)


class Indexing:
    """The index of a runtime's home.

    `run` is a task of the runtime, and `kept` says that it runs. Without it lists never wait for the index.
    """

    def __init__(self, home: Home, *, kept: bool = False) -> None:
        self._home = home
        self._index: ThreadIndex | None = None
        self._mutex = threading.Lock()
        self._one_at_a_time = trio.CapacityLimiter(1)
        self._catching_up = trio.CapacityLimiter(1)
        self._asked = trio.Event()
        self._hurry = trio.Event()
        self._round = trio.Event()
        self._kept = kept
        self._caught_up = False

    @property
    def index(self) -> ThreadIndex:
        """The index, made when first used, so that SQLite is imported only if needed. May be called in any thread."""
        with self._mutex:
            if self._index is None:
                from spindle.storage.index import ThreadIndex

                self._index = ThreadIndex(self._home)
            return self._index

    def outliner(self) -> Outliner:
        """An Outliner that keeps the outlines of rollouts in the index."""
        from spindle.storage.rollout.outliner import Outliner

        return Outliner(_Kept(self), lambda id: locate_file(self._home, id))

    def prepare(self) -> None:
        """Open the index if there is one, so that the first list is answered sooner. Blocks on the disk."""
        if self._home.spindle.exists():
            self.index.prepare()

    async def page(
        self, query: ThreadQuery, default_provider: Callable[[], str], watched: Collection[str] = ()
    ) -> ThreadPage:
        """One page of stored threads. `default_provider` is called in the worker thread and may block.

        `watched` are threads that may have been written to a moment ago. Raises InvalidCursor, OSError.
        """

        def work(heads: int | None) -> ThreadPage | None:
            return self._page(evolve(query, default_provider=default_provider()), watched, heads)

        heads: int | None = HEADS
        while True:
            caught_up = self._round
            if not self._kept:
                heads = None
            page = await trio.to_thread.run_sync(work, heads, limiter=self._one_at_a_time)
            self._asked.set()
            if page is not None:
                return page
            self._hurry.set()
            await caught_up.wait()
            heads = None

    def _page(self, query: ThreadQuery, watched: Collection[str], heads: int | None) -> ThreadPage | None:
        if heads is not None and not self._caught_up:
            known = self._home.index_file.exists()
            if not known or (query.plain and query.rows < FIRST_HEADS):
                try:
                    return list_threads(self._home, query, FIRST_HEADS if known else heads)
                except TooMuchToRead:
                    if not known:
                        return None
        from spindle.storage.index import IndexUnavailable

        try:
            page = self.index.page(query, watched)
        except IndexUnavailable as error:
            log.info("threads are listed from the files: %s", error)
            page = None
        if page is not None:
            return page
        try:
            return list_threads(self._home, query, heads)
        except TooMuchToRead:
            return None

    def locate(self, thread_id: str) -> Path | None:
        """The rollout of a thread that is not archived, or None. Blocks on the disk. Raises OSError."""
        return self.index.locate(thread_id) or locate(self._home, thread_id)

    def locate_archived(self, thread_id: str) -> Path | None:
        """The rollout of an archived thread, or None. Blocks on the disk. Raises OSError."""
        return self.index.locate_archived(thread_id) or locate_archived(self._home, thread_id)

    async def run(self) -> None:
        """Keep the index up to date after the first list, until cancelled; then close it."""
        try:
            while True:
                await self._asked.wait()
                with trio.move_on_after(PAUSE):
                    await self._hurry.wait()
                self._asked, self._hurry = trio.Event(), trio.Event()
                await self._catch_up()
                with trio.move_on_after(LOOK_AGAIN):
                    await self._hurry.wait()
        finally:
            self._kept = False
            self._round.set()
            if self._index is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._index.close)

    async def _catch_up(self) -> None:
        from spindle.storage.index import IndexUnavailable

        try:
            await trio.to_thread.run_sync(
                self.index.catch_up, trio.from_thread.check_cancelled, limiter=self._catching_up
            )
            self._caught_up = True
        except (IndexUnavailable, OSError) as error:
            log.warning("the thread index could not be updated: %s", error)
        except Exception:
            log.exception("the thread index could not be updated")
        finally:
            done, self._round = self._round, trio.Event()
            done.set()
