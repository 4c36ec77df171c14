"""thread/list: filters, sections, and what is kept beside the rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from spindle.actors.mailbox import Reply
from spindle.actors.methods.identity import thread_id
from spindle.actors.methods.threads import described
from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, RpcError, invalid_request
from spindle.rpc.protocol.read_states import ThreadReadState
from spindle.rpc.protocol.shapes import Absent
from spindle.rpc.protocol.threads import ThreadListParams, ThreadListResponse
from spindle.storage import threads as stored
from spindle.storage.state import StateUnavailable
from spindle.storage.state.read_states import initial, read_states
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads import PlacedThread, StoredThreadError, ThreadPage, ThreadQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.actors.connection import Connection
    from spindle.actors.runtime import Runtime

MOST_EXCLUDED = 100


def list_(connection: Connection, params: ThreadListParams, reply: Reply[Any]) -> None:
    """thread/list"""
    query = asked(params)
    connection.later(reply, lambda: list_stored(connection.runtime, params, query))


def asked(params: ThreadListParams) -> ThreadQuery:
    """The query for the stored threads; the default provider is left to be filled in. Raises RpcError."""
    excluded = params.excluded_thread_ids or ()
    if len(excluded) > MOST_EXCLUDED:
        raise RpcError(INVALID_PARAMS, f"excludedThreadIds accepts at most {MOST_EXCLUDED} entries")
    ids = frozenset(thread_id(id, what="excluded thread id", code=INVALID_PARAMS) for id in excluded)
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
        excluded_ids=ids,
        parent_thread_id=parent,
        ancestor_thread_id=ancestor,
    )


def _relative(text: str | None, what: str) -> str | None:
    return None if text is None else thread_id(text, what=what)


async def list_stored(runtime: Runtime, params: ThreadListParams, query: ThreadQuery) -> ThreadListResponse:
    """One page of stored threads, with the status of those that are loaded, their sections and their read states."""
    services = runtime.services
    where = await services.state.read_or(placements, Placements())

    def work() -> ThreadPage:
        full = evolve(query, default_provider=runtime.config().model_provider)
        if isinstance(params.section_id, str):
            threads = [PlacedThread(id, position) for position, id in where.within(params.section_id)]
            by_position = params.sort_key == "section_position"
            return stored.list_section(services.home, threads, full, services.summaries, by_position=by_position)
        if not isinstance(params.section_id, Absent):
            full = evolve(full, excluded_ids={*full.excluded_ids, *where.by_thread})
        page = stored.list_threads(services.home, full, services.summaries)
        return evolve(page, data=[stored.with_latest_git(row) for row in page.data])

    try:
        page = await trio.to_thread.run_sync(work)
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except OSError as error:
        raise RpcError(INTERNAL_ERROR, f"failed to list threads: {error}") from error
    status = runtime.registry.status
    data = [where.show(described(row, status=status(row.id))) for row in page.data]
    marks = await _read_states(runtime, [row.id for row in page.data])
    return ThreadListResponse(data, page.next_cursor, page.backwards_cursor, marks)


async def _read_states(runtime: Runtime, ids: list[str]) -> Mapping[str, ThreadReadState] | None:
    try:
        return await runtime.services.state.read(lambda db: read_states(db, ids), {id: initial(id) for id in ids})
    except StateUnavailable:
        return None
