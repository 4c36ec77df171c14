"""thread/list: filters, sections, and what is stored outside the rollouts.

It needs nothing of what loaded threads need, so that a server just started answers it early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from spindle.actors.clients.identity import thread_id
from spindle.actors.delivery.description import describe_stored
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, RpcError, invalid_request
from spindle.rpc.protocol.read_states import ThreadReadState
from spindle.rpc.protocol.shapes import Absent
from spindle.rpc.protocol.threads import ThreadListParams, ThreadListResponse
from spindle.storage.state import StateUnavailable
from spindle.storage.state.read_states import initial, read_states
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.query import ThreadPage, ThreadQuery
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend

MOST_IDS = 100
"""How many thread ids a request may list to include or to exclude."""


def list_(caller: Caller, params: ThreadListParams, reply: Reply[Any]) -> None:
    """thread/list"""
    backend, query = caller.backend, asked(params)
    _ = backend.indexing, backend.config_loader, backend.state  # made here, in trio's thread
    caller.later(reply, lambda: list_stored(backend, params, query))


def asked(params: ThreadListParams) -> ThreadQuery:
    """The query for the stored threads; the default provider is left to be filled in. Raises RpcError."""
    only = params.included_thread_ids
    parent = _relative(params.parent_thread_id, "parent thread id")
    ancestor = _relative(params.ancestor_thread_id, "ancestor thread id")
    if parent is not None and ancestor is not None:
        raise invalid_request("parentThreadId and ancestorThreadId are mutually exclusive")
    by_position = params.sort_key == "section_position"
    if by_position and not isinstance(params.section_id, str):
        raise invalid_request("section-position sorting requires a section filter")
    return ThreadQuery(
        cursor=params.cursor,
        limit=params.limit,
        sort_key="created_at" if params.sort_key is None or params.sort_key == "section_position" else params.sort_key,
        sort_direction=params.sort_direction or ("asc" if by_position else "desc"),
        model_providers=params.model_providers,
        source_kinds=params.source_kinds,
        archived=bool(params.archived),
        cwd=(params.cwd,) if isinstance(params.cwd, str) else params.cwd,
        search_term=params.search_term,
        excluded_ids=_ids("excluded", params.excluded_thread_ids or ()),
        only_ids=None if only is None else _ids("included", only),
        parent_thread_id=parent,
        ancestor_thread_id=ancestor,
    )


def _ids(which: str, ids: Sequence[str]) -> frozenset[str]:
    if len(ids) > MOST_IDS:
        raise RpcError(INVALID_PARAMS, f"{which}ThreadIds accepts at most {MOST_IDS} entries")
    return frozenset(thread_id(id, what=f"{which} thread id", code=INVALID_PARAMS) for id in ids)


def _relative(text: str | None, what: str) -> str | None:
    return None if text is None else thread_id(text, what=what)


async def list_stored(backend: Backend, params: ThreadListParams, query: ThreadQuery) -> ThreadListResponse:
    """One page of stored threads, with the status of those that are loaded, their sections and their read states."""
    try:
        page = await _page(backend, params, query)
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except OSError as error:
        raise RpcError(INTERNAL_ERROR, f"failed to list threads: {error}") from error
    where, marks = await _kept(backend, [row.id for row in page.data])
    data = [where.show(describe_stored(row, status=backend.status(row.id))) for row in page.data]
    return ThreadListResponse(data, page.next_cursor, page.backwards_cursor, marks)


async def _page(backend: Backend, params: ThreadListParams, query: ThreadQuery) -> ThreadPage:
    def provider() -> str:
        return backend.config().model_provider

    section = params.section_id
    if isinstance(section, Absent):
        return await backend.indexing.page(query, provider, backend.loaded())
    where = await backend.state.read_or(placements, Placements())
    if section is None:
        query = evolve(query, excluded_ids={*query.excluded_ids, *where.by_thread})
    elif params.sort_key == "section_position":
        from spindle.storage.threads.section_listing import PlacedThread, list_section

        placed = [PlacedThread(id, position) for position, id in where.within(section)]
        return await trio.to_thread.run_sync(
            lambda: list_section(backend.home, placed, evolve(query, default_provider=provider()))
        )
    else:
        within = {id for _, id in where.within(section)}
        query = evolve(query, only_ids=within if query.only_ids is None else within & query.only_ids)
    return await backend.indexing.page(query, provider, backend.loaded())


async def _kept(backend: Backend, ids: list[str]) -> tuple[Placements, Mapping[str, ThreadReadState] | None]:
    """Sections and read states; read states are None where they are unavailable, and clients see that."""

    def work(db: sqlite3.Connection) -> tuple[Placements, Mapping[str, ThreadReadState]]:
        return placements(db), read_states(db, ids)

    try:
        return await backend.state.read(work, (Placements(), {id: initial(id) for id in ids}))
    except StateUnavailable:
        return Placements(), None
