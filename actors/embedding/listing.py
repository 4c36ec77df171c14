"""Lists and searches of the threads in a home: page by page, or all of them in one loop."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from attrs import evolve

from spindle.actors.embedding.checking import check_count, check_path, check_text
from spindle.actors.embedding.failures import InvalidOption
from spindle.actors.registry.lists import list_stored, search_stored
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.threads import Thread
from spindle.storage.threads.query import LARGEST_LIMIT, ThreadQuery

if TYPE_CHECKING:
    from spindle.actors.registry.backend import Backend

Sort: TypeAlias = Literal["updated", "created"]

_KEYS: dict[Sort, Literal["updated_at", "created_at"]] = {"updated": "updated_at", "created": "created_at"}
_KINDS = ("cli", "vscode", "exec", "appServer", "unknown")
"""The sources of threads that no agent has started."""


@frozen
class ThreadPage:
    """One page of a list of threads."""

    threads: Sequence[Thread]
    next_cursor: str | None
    """Where the next page begins; None if this is the last."""


class ThreadList:
    """The stored threads that a query has found. Iterate over it for all of them, or take single pages.

    Each thread is as it is on the page that shows it, and has its present status if it is loaded. While a list is read,
    threads may be created, used and removed. Each thread comes once, at the first place where it is met. In a list by the
    latest change, threads that change while it is read come at the end if they were not read yet; a search omits them.
    """

    def __init__(self, backend: Backend, query: ThreadQuery, term: str | None) -> None:
        self._backend, self._query, self._term = backend, query, term

    def __aiter__(self) -> ThreadIterator:
        return ThreadIterator(self, rereads=self._query.by_change and self._query.newest_first and self._term is None)

    async def page(self, cursor: str | None = None) -> ThreadPage:
        """The first page, or the one at `cursor`, which a page of this list has as `next_cursor`. Raises RpcError.

        A page of a search may have fewer threads than `page_size`, even none, and still not be the last.
        """
        query = evolve(self._query, cursor=cursor)
        if self._term is None:
            found = await list_stored(self._backend, query)
            return ThreadPage(found.data, found.next_cursor)
        matches = await search_stored(self._backend, self._term, query)
        return ThreadPage([thread for thread, _ in matches.data], matches.next_cursor)


class Paged(Protocol):
    """What has pages of threads."""

    async def page(self, cursor: str | None = None) -> ThreadPage:
        """The first page, or the one at `cursor`."""
        ...


class ThreadIterator:
    """An iteration over a `ThreadList`. `rereads`: it reads the beginning once more, for what has moved there meanwhile."""

    def __init__(self, threads: Paged, *, rereads: bool) -> None:
        self._threads = threads
        self._rereads = rereads
        self._ready: deque[Thread] = deque()
        self._seen: set[str] = set()
        self._cursor: str | None = None
        self._over = False
        self._since: int | None = None
        """Unix seconds of the latest change when the list was begun. None if it has one page."""

    def __aiter__(self) -> ThreadIterator:
        return self

    async def __anext__(self) -> Thread:
        while True:
            while self._ready:
                thread = self._ready.popleft()
                if thread.id not in self._seen:
                    self._seen.add(thread.id)
                    return thread
            if self._over:
                raise StopAsyncIteration
            self._took(await self._threads.page(self._cursor))

    def _took(self, page: ThreadPage) -> None:
        self._ready += page.threads
        self._cursor = page.next_cursor
        again = self._since is not None and not self._rereads
        if self._since is None and page.threads and page.next_cursor is not None:
            self._since = page.threads[0].updated_at
        if again and any(thread.updated_at < (self._since or 0) for thread in page.threads):
            self._over = True
        elif self._cursor is None:
            self._over = not self._rereads or self._since is None
            self._rereads = False


def list_threads(
    backend: Backend,
    *,
    search: str | None,
    archived: bool,
    cwd: str | os.PathLike[str] | None,
    model_provider: str | None,
    sort: Sort,
    descending: bool,
    page_size: int,
) -> ThreadList:
    """See `Runtime.threads`."""
    if sort not in _KEYS:
        raise InvalidOption("sort", f"`{sort}` is none of {', '.join(_KEYS)}")
    check_path("cwd", cwd)
    if model_provider is not None:
        check_text("model_provider", model_provider)
    check_count("page_size", page_size, LARGEST_LIMIT)
    if search is not None:
        check_text("search", search)
    if search is not None and not search.strip():
        raise InvalidOption("search", "an empty text is in every thread")
    query = ThreadQuery(
        limit=page_size,
        sort_key=_KEYS[sort],
        sort_direction="desc" if descending else "asc",
        model_providers=() if model_provider is None else (model_provider,),
        source_kinds=_KINDS,
        archived=archived,
        cwd=None if cwd is None else (os.path.normpath(os.path.join(backend.cwd, cwd)),),
    )
    return ThreadList(backend, query, None if search is None else search)
