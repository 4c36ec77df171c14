"""thread/list. It needs nothing of what loaded threads need, so that a server just started answers it early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.mailbox import Reply
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError, invalid_request
from spindle.rpc.protocol.threads import GitInfo, NotLoadedStatus, Thread, ThreadListParams, ThreadListResponse
from spindle.storage.threads import StoredThreadError, ThreadQuery, ThreadSummary

if TYPE_CHECKING:
    from spindle.actors.connection import Connection
    from spindle.actors.runtime import Runtime


def list_(connection: Connection, params: ThreadListParams, reply: Reply[Any]) -> None:
    """thread/list"""
    runtime = connection.runtime
    _ = runtime.indexing, runtime.config_loader  # made here, in trio's thread
    connection.later(reply, lambda: list_stored(runtime, params))


async def list_stored(runtime: Runtime, params: ThreadListParams) -> ThreadListResponse:
    """One page of stored threads, with the status of those that are loaded."""
    query = ThreadQuery(
        cursor=params.cursor,
        limit=params.limit,
        sort_key=params.sort_key or "created_at",
        sort_direction=params.sort_direction or "desc",
        model_providers=params.model_providers,
        source_kinds=params.source_kinds,
        archived=bool(params.archived),
        cwd=(params.cwd,) if isinstance(params.cwd, str) else params.cwd,
        search_term=params.search_term,
    )
    try:
        page = await runtime.indexing.page(query, lambda: runtime.config().model_provider, runtime.loaded())
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except OSError as error:
        raise RpcError(INTERNAL_ERROR, f"failed to list threads: {error}") from error
    return ThreadListResponse(
        [described(row, status=runtime.status(row.id)) for row in page.data], page.next_cursor, page.backwards_cursor
    )


def described(summary: ThreadSummary, turns: tuple[Any, ...] = (), status: Any = None) -> Thread:
    """A stored thread as clients see it."""
    git = summary.git
    return Thread(
        id=summary.id,
        session_id=summary.session_id,
        forked_from_id=summary.forked_from_id,
        preview=summary.preview,
        model_provider=summary.model_provider,
        created_at=summary.created_at,
        updated_at=summary.updated_at,
        status=status or NotLoadedStatus(),
        path=str(summary.path),
        cwd=summary.cwd,
        cli_version=summary.cli_version,
        source=summary.source,
        agent_nickname=summary.agent_nickname,
        agent_role=summary.agent_role,
        git_info=None if git is None else GitInfo(git.sha, git.branch, git.origin_url),
        name=summary.name,
        turns=turns,
    )
