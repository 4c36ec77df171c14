"""thread/*: the life of threads, as clients ask for it."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from uuid_utils import uuid7

from spindle.actors.mailbox import Reply
from spindle.actors.registry import Archive, Leave, Resume, ToThread
from spindle.actors.streaming import Streamed
from spindle.actors.thread.messages import Attach, Detach, ReadThread
from spindle.actors.thread.opening import FromHistory, FromRollout, NewThread, git_info
from spindle.actors.thread.snapshot import Snapshot
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError, invalid_request
from spindle.rpc.protocol.threads import (
    NotLoadedStatus,
    Thread,
    ThreadArchiveParams,
    ThreadArchiveResponse,
    ThreadListParams,
    ThreadListResponse,
    ThreadLoadedListParams,
    ThreadLoadedListResponse,
    ThreadReadParams,
    ThreadReadResponse,
    ThreadResumeParams,
    ThreadStartParams,
    ThreadUnarchivedNotification,
    ThreadUnarchiveParams,
    ThreadUnarchiveResponse,
    ThreadUnsubscribeParams,
    ThreadUnsubscribeResponse,
)
from spindle.storage import threads as stored
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.threads import StoredThreadError, ThreadQuery, ThreadSummary, read_summary

if TYPE_CHECKING:
    from spindle.actors.connection import Connection
    from spindle.actors.runtime import Runtime


def thread_id(text: str) -> str:
    """The id in canonical form. Raises RpcError naming what is wrong, in the words of the reference's UUID parser."""
    try:
        return str(uuid.UUID(text.removeprefix("urn:uuid:")))
    except ValueError:
        bad = re.search(r"[^0-9a-fA-F-]", text)
        if bad is not None:
            detail = (
                "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], "
                f"found `{bad.group()}` at {bad.start() + 1}"
            )
        else:
            detail = f"invalid length: expected length 32 for simple format, found {len(text)}"
        raise invalid_request(f"invalid thread id: {detail}") from None


def mapped(reply: Reply[Any], change: Any) -> Reply[Any]:
    """A reply that passes `change(answer)` on."""

    def resolve(value: Any) -> None:
        reply.resolve(value.map(change) if isinstance(value, Streamed) else change(value))

    return Reply(resolve, reply.reject)


def start(connection: Connection, params: ThreadStartParams, reply: Reply[Any]) -> None:
    """thread/start"""
    opening = NewThread(params=params, client=connection.client)
    connection.runtime.registry.start(opening, Attach(reply=reply, subscriber=connection.subscriber))


def resume(connection: Connection, params: ThreadResumeParams, reply: Reply[Any]) -> None:
    """thread/resume: of the loaded thread if there is one, else from `history`, `path` or the stored id, in this order."""
    registry = connection.runtime.registry
    attach = Attach(reply=reply, subscriber=connection.subscriber, params=params, streamed=True)
    loaded = registry.is_loaded(params.thread_id)
    if params.history is not None and not loaded:
        registry.route(Resume(str(uuid7()), attach, FromHistory(params=params, client=connection.client)))
    elif params.path and not loaded:
        connection.later(_Silent(reply), lambda: _resume_path(connection, params, attach))
    else:
        id = thread_id(params.thread_id)
        registry.route(Resume(id, attach, FromRollout(params=params, client=connection.client)))


class _Silent(Reply[Any]):
    """Passes failures on and keeps quiet on success: the thread answers then."""

    def __init__(self, reply: Reply[Any]) -> None:
        super().__init__(lambda _: None, reply.reject)


async def _resume_path(connection: Connection, params: ThreadResumeParams, attach: Attach) -> None:
    path = Path(connection.runtime.services.cwd, params.path or "")
    try:
        summary = await trio.to_thread.run_sync(lambda: read_summary(path))
    except (StoredThreadError, OSError) as error:
        raise invalid_request(f"failed to load rollout `{path}`: {_reason(error)}") from error
    opening = FromRollout(params=params, client=connection.client, path=path)
    connection.runtime.registry.route(Resume(summary.id, attach, opening))


def unsubscribe(connection: Connection, params: ThreadUnsubscribeParams, reply: Reply[Any]) -> None:
    """thread/unsubscribe"""
    id = thread_id(params.thread_id)
    out = mapped(reply, ThreadUnsubscribeResponse)
    connection.runtime.registry.route(Leave(id, Detach(reply=out, subscriber=connection.subscriber)))


def read(connection: Connection, params: ThreadReadParams, reply: Reply[Any]) -> None:
    """thread/read: of a loaded thread what it says of itself, else what its rollout says."""
    id, runtime = thread_id(params.thread_id), connection.runtime
    if runtime.registry.is_loaded(id):
        out = mapped(reply, ThreadReadResponse)
        runtime.registry.route(ToThread(id, ReadThread(reply=out, include_turns=params.include_turns, streamed=True)))
    else:
        connection.later(reply, lambda: read_stored(runtime, id, params.include_turns))


async def read_stored(runtime: Runtime, id: str, include_turns: bool) -> ThreadReadResponse | Streamed:
    """Read a thread that is not loaded, archived ones too."""
    services = runtime.services

    def work() -> tuple[Thread, Snapshot | None] | None:
        path = stored.locate(services.home, id) or stored.locate_archived(services.home, id)
        if path is None:
            return None
        summary = read_summary(path, cache=services.summaries)
        return described(summary), Snapshot.stored(OpenRollout(path, services.outliner)) if include_turns else None

    try:
        found = await trio.to_thread.run_sync(work)
    except (StoredThreadError, OSError) as error:
        raise RpcError(INTERNAL_ERROR, f"failed to read thread {id}: {_reason(error)}") from error
    if found is None:
        raise invalid_request(f"thread not loaded: {id}")
    thread, snapshot = found
    response = ThreadReadResponse(thread)
    return response if snapshot is None else Streamed(response, snapshot)


def described(summary: ThreadSummary, turns: tuple[Any, ...] = (), status: Any = None) -> Thread:
    """A stored thread as clients see it."""
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
        git_info=git_info(summary),
        name=summary.name,
        turns=turns,
    )


def list_(connection: Connection, params: ThreadListParams, reply: Reply[Any]) -> None:
    """thread/list"""
    connection.later(reply, lambda: list_stored(connection.runtime, params))


async def list_stored(runtime: Runtime, params: ThreadListParams) -> ThreadListResponse:
    """One page of stored threads, with the status of those that are loaded."""
    services = runtime.services

    def work() -> Any:
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
            default_provider=runtime.config().model_provider,
        )
        return stored.list_threads(services.home, query, services.summaries)

    try:
        page = await trio.to_thread.run_sync(work)
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except OSError as error:
        raise RpcError(INTERNAL_ERROR, f"failed to list threads: {error}") from error
    status = runtime.registry.status
    return ThreadListResponse(
        [described(row, status=status(row.id)) for row in page.data], page.next_cursor, page.backwards_cursor
    )


def loaded_list(connection: Connection, params: ThreadLoadedListParams, reply: Reply[Any]) -> None:
    """thread/loaded/list: ids ascending; the cursor is the last id of the page before."""
    ids = connection.runtime.registry.loaded()
    if params.cursor is not None:
        try:
            cursor = str(uuid.UUID(params.cursor))
        except ValueError:
            raise invalid_request(f"invalid cursor: {params.cursor}") from None
        ids = [id for id in ids if id > cursor]
    limit = len(ids) if params.limit is None else max(1, params.limit)
    page = ids[:limit]
    reply.resolve(ThreadLoadedListResponse(page, page[-1] if len(ids) > limit else None))


def archive(connection: Connection, params: ThreadArchiveParams, reply: Reply[Any]) -> None:
    """thread/archive"""
    id = thread_id(params.thread_id)
    connection.runtime.registry.archive(Archive(id, mapped(reply, _archived)))


def _archived(_: None) -> ThreadArchiveResponse:
    return ThreadArchiveResponse()


def unarchive(connection: Connection, params: ThreadUnarchiveParams, reply: Reply[Any]) -> None:
    """thread/unarchive: the file goes back to the folder of its date."""
    id = thread_id(params.thread_id)
    runtime = connection.runtime

    def work() -> ThreadSummary:
        path = stored.unarchive(runtime.services.home, id)
        return read_summary(path, cache=runtime.services.summaries)

    async def run() -> None:
        try:
            summary = await trio.to_thread.run_sync(work)
        except StoredThreadError as error:
            raise invalid_request(str(error)) from error
        except OSError as error:
            raise RpcError(INTERNAL_ERROR, f"failed to unarchive thread {id}: {error}") from error
        reply.resolve(ThreadUnarchiveResponse(described(summary)))
        runtime.audience.announce(ThreadUnarchivedNotification(id))

    connection.later(_Silent(reply), run)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, StoredThreadError) else str(getattr(error, "strerror", None) or error)
