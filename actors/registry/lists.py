"""Lists of stored threads, a page at a time: with the status of those that are loaded, and what is kept beside the rollouts.

It needs nothing of what loaded threads need, so that a server just started answers a list early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from attrs import evolve

from spindle.actors.delivery.description import describe_stored
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError, invalid_request
from spindle.rpc.protocol.read_states import ThreadReadState
from spindle.rpc.protocol.shapes import ABSENT, Absent
from spindle.rpc.protocol.threads import Thread
from spindle.storage.state import StateUnavailable
from spindle.storage.state.read_states import initial, read_states
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.query import ThreadPage, ThreadQuery
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from spindle.actors.registry.backend import Backend
    from spindle.storage.search import SearchPage
    from spindle.storage.threads.summary import ThreadSummary

T = TypeVar("T")


@frozen
class Page(Generic[T]):
    """One page. The cursors are those of `ThreadPage`."""

    data: Sequence[T]
    next_cursor: str | None
    backwards_cursor: str | None
    marks: Mapping[str, ThreadReadState] | None = None
    """The threads' read states; None where they are unavailable or were not asked for."""


async def list_stored(
    backend: Backend,
    query: ThreadQuery,
    section: str | Absent | None = ABSENT,
    project: str | Absent | None = ABSENT,
    *,
    by_position: bool = False,
) -> Page[Thread]:
    """One page of a list, of `section` and `project` if they are given; None is for threads without one.

    `by_position`: in the section's own order. The query's default provider is filled in. Raises RpcError.
    """
    try:
        page = await _page(backend, query, section, project, by_position)
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except OSError as error:
        raise RpcError(INTERNAL_ERROR, f"failed to list threads: {error}") from error
    where, marks = await _kept(backend, [row.id for row in page.data])
    data = [where.show(describe_stored(row, status=backend.status(row.id))) for row in page.data]
    return Page(data, page.next_cursor, page.backwards_cursor, marks)


async def search_stored(
    backend: Backend,
    term: str,
    query: ThreadQuery,
    on_found: Callable[[ThreadSummary, str], None] | None = None,
) -> Page[tuple[Thread, str]]:
    """One page of threads with `term` in their messages, each with the text around its first match. Raises RpcError.

    `on_found` gets each result when it is found, in a worker thread.
    """
    from spindle.storage.search import SearchQuery, search_threads

    services = backend.services

    def list_page(page: ThreadQuery) -> ThreadPage:
        return trio.from_thread.run(services.indexing.page, page, lambda: backend.config().model_provider)

    def work() -> SearchPage:
        check = trio.from_thread.check_cancelled
        return search_threads(list_page, SearchQuery(term, query), check, services.outliner.find, on_found)

    try:
        page = await trio.to_thread.run_sync(work)
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except OSError as error:
        raise RpcError(INTERNAL_ERROR, f"failed to search threads: {error}") from error
    return Page(await described(backend, page.data), page.next_cursor, page.backwards_cursor)


async def described(backend: Backend, found: Sequence[tuple[ThreadSummary, str]]) -> list[tuple[Thread, str]]:
    """Results of a search as clients see them."""
    where = await backend.services.state.read_or(placements, Placements())
    return [(where.show(describe_stored(row, status=backend.status(row.id))), snippet) for row, snippet in found]


async def _page(
    backend: Backend,
    query: ThreadQuery,
    section: str | Absent | None,
    project: str | Absent | None,
    by_position: bool,
) -> ThreadPage:
    def provider() -> str:
        return backend.config().model_provider

    if isinstance(section, Absent) and isinstance(project, Absent):
        return await backend.indexing.page(query, provider, backend.loaded())
    where = await backend.state.read_or(placements, Placements())
    if project is None:
        query = evolve(query, excluded_ids={*query.excluded_ids, *where.projects})
    elif isinstance(project, str):
        query = _only(query, {id for id, own in where.projects.items() if own == project})
    if section is None:
        query = evolve(query, excluded_ids={*query.excluded_ids, *where.by_thread})
    elif isinstance(section, str) and by_position:
        from spindle.storage.threads.section_listing import PlacedThread, list_section

        placed = [PlacedThread(id, position) for position, id in where.within(section)]
        return await trio.to_thread.run_sync(
            lambda: list_section(backend.home, placed, evolve(query, default_provider=provider()))
        )
    elif isinstance(section, str):
        query = _only(query, {id for _, id in where.within(section)})
    return await backend.indexing.page(query, provider, backend.loaded())


def _only(query: ThreadQuery, ids: set[str]) -> ThreadQuery:
    return evolve(query, only_ids=ids if query.only_ids is None else ids & query.only_ids)


async def _kept(backend: Backend, ids: list[str]) -> tuple[Placements, Mapping[str, ThreadReadState] | None]:
    """Sections and read states; read states are None where they are unavailable, and clients see that."""

    def work(db: sqlite3.Connection) -> tuple[Placements, Mapping[str, ThreadReadState]]:
        return placements(db), read_states(db, ids)

    try:
        return await backend.state.read(work, (Placements(), {id: initial(id) for id in ids}))
    except StateUnavailable:
        return Placements(), None
