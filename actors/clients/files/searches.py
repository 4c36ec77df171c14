"""The file searches of one client. They end with its connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from spindle.actors.clients.requests import based_path
from spindle.actors.settings.requests import absolute
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.file_search import (
    FuzzyFileSearchMatchType,
    FuzzyFileSearchResponse,
    FuzzyFileSearchResult,
    FuzzyFileSearchSessionCompletedNotification,
    FuzzyFileSearchSessionUpdatedNotification,
)
from spindle.storage.file_search import FoundPath, RankedPath, best, walk

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

T = TypeVar("T")

MOST = 16
"""The most sessions of one client."""
BETWEEN = 0.5
"""Seconds between two reports of a session while its folders are read."""


class FileSearches:
    """Sessions by their ids, and searches by their tokens."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._limiter = caller.backend.services.workers.searches
        self._sessions: dict[str, _Session] = {}
        self._tokens: dict[str, trio.CancelScope] = {}

    async def once(self, query: str, roots: Sequence[str], token: str | None) -> FuzzyFileSearchResponse:
        """Search once. Without results if a search with the same token comes meanwhile."""
        files: Sequence[FuzzyFileSearchResult] = ()
        with trio.CancelScope() as scope:
            if token is not None:
                if (earlier := self._tokens.get(token)) is not None:
                    earlier.cancel()
                self._tokens[token] = scope
            try:
                if query and roots:
                    files = await self._in_thread(partial(self._search, query, self._placed(roots)))
            finally:
                if token is not None and self._tokens.get(token) is scope:
                    del self._tokens[token]
        return FuzzyFileSearchResponse(files)

    def start(self, id: str, roots: Sequence[str]) -> None:
        """Start a session, in place of one with the same id. Raises RpcError."""
        if not id:
            raise invalid_request("sessionId must not be empty")
        if not roots:
            raise internal_error("failed to start fuzzy file search session: at least one search directory is required")
        if id not in self._sessions and len(self._sessions) >= MOST:
            raise invalid_request(f"too many fuzzy file search sessions: limit is {MOST}")
        self.stop(id)
        session = self._sessions[id] = _Session(id)
        self._caller.start("a file search", self._serve, session, self._placed(roots))

    def update(self, id: str, query: str) -> None:
        """Search for another query. Raises RpcError."""
        session = self._sessions.get(id)
        if session is None:
            raise invalid_request(f"fuzzy file search session not found: {id}")
        session.ask(query)

    def stop(self, id: str) -> None:
        """End a session, if there is one."""
        if (session := self._sessions.pop(id, None)) is not None:
            session.life.cancel()

    async def _serve(self, session: _Session, roots: Sequence[tuple[str, str]]) -> None:
        with session.life:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, session, roots)
                while True:
                    session.asked = trio.Event()
                    with trio.CancelScope() as session.matching:
                        await self._match(session)
                    await session.asked.wait()

    async def _read(self, session: _Session, roots: Sequence[tuple[str, str]]) -> None:
        await self._in_thread(partial(walk, roots, session.paths, trio.from_thread.check_cancelled))
        session.walked.set()

    async def _match(self, session: _Session) -> None:
        """Report the matches of the session's query, and again while more files are found."""
        shown: Sequence[FuzzyFileSearchResult] | None = None
        while True:
            complete = session.walked.is_set()
            files = await self._in_thread(partial(self._best, session.paths, session.query))
            if files != shown:
                shown = files
                self._caller.notify(FuzzyFileSearchSessionUpdatedNotification(session.id, session.query, files))
            if complete:
                self._caller.notify(FuzzyFileSearchSessionCompletedNotification(session.id))
                return
            with trio.move_on_after(BETWEEN):
                await session.walked.wait()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)

    def _placed(self, roots: Sequence[str]) -> Sequence[tuple[str, str]]:
        """The roots as given, each with its absolute path."""
        return [(root, absolute(self._caller.cwd, based_path(self._caller, root))) for root in roots]

    def _search(self, query: str, roots: Sequence[tuple[str, str]]) -> Sequence[FuzzyFileSearchResult]:
        paths: list[FoundPath] = []
        walk(roots, paths, trio.from_thread.check_cancelled)
        return self._best(paths, query)

    @staticmethod
    def _best(paths: Sequence[FoundPath], query: str) -> Sequence[FuzzyFileSearchResult]:
        return [_shown(one) for one in best(list(paths), query, trio.from_thread.check_cancelled)]


class _Session:
    def __init__(self, id: str) -> None:
        self.id = id
        self.query = ""
        self.paths: list[FoundPath] = []
        self.walked = trio.Event()
        self.life = trio.CancelScope()
        self.matching = trio.CancelScope()
        self.asked = trio.Event()

    def ask(self, query: str) -> None:
        """Match this query now. What is matched meanwhile is given up."""
        self.query = query
        self.asked.set()
        self.matching.cancel()


def _shown(one: RankedPath) -> FuzzyFileSearchResult:
    found = one.found
    kind: FuzzyFileSearchMatchType = "directory" if found.is_folder else "file"
    return FuzzyFileSearchResult(found.root, found.path, kind, os.path.basename(found.path), one.score, one.indices)
