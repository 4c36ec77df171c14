"""thread/list: its filters, as clients write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.lists import list_stored
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.rpc.protocol.threads import ThreadListParams, ThreadListResponse
from spindle.storage.threads.query import ThreadQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend

MOST_IDS = 100
"""How many thread ids a request may list to include or to exclude."""


def list_(caller: Caller, params: ThreadListParams, reply: Reply[Any]) -> None:
    """thread/list"""
    backend, query = caller.backend, asked(params)
    _ = backend.indexing, backend.config_loader, backend.state  # made here, in trio's thread
    caller.later(reply, lambda: _listed(backend, params, query))


async def _listed(backend: Backend, params: ThreadListParams, query: ThreadQuery) -> ThreadListResponse:
    if isinstance(params.project_id, str):
        await _check_project(backend, params.project_id)
    by_position = params.sort_key == "section_position"
    page = await list_stored(backend, query, params.section_id, params.project_id, by_position=by_position)
    return ThreadListResponse(page.data, page.next_cursor, page.backwards_cursor, page.marks)


async def _check_project(backend: Backend, id: str) -> None:
    from spindle.storage.state import StateUnavailable
    from spindle.storage.state.projects import ProjectError, read_project

    try:
        if await backend.state.read(lambda db: read_project(db, id), None) is None:
            raise ProjectError(f"project not found: {id}")
    except ProjectError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from error
    except StateUnavailable as error:
        raise internal_error(str(error)) from error


def asked(params: ThreadListParams) -> ThreadQuery:
    """The query for the stored threads; the default provider is left to be filled in. Raises RpcError."""
    only = params.included_thread_ids
    parent = _relative(params.parent_thread_id, "parent thread id")
    ancestor = _relative(params.ancestor_thread_id, "ancestor thread id")
    if parent is not None and ancestor is not None:
        raise invalid_request("parentThreadId and ancestorThreadId are mutually exclusive")
    if params.project_id == "":
        raise RpcError(INVALID_PARAMS, "projectId must not be empty")
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
