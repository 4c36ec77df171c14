"""thread/*: the life of threads, as clients ask for it."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import trio

from spindle.actors.clients.methods.identity import thread_id
from spindle.actors.delivery.description import describe_stored
from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import Leave, ListLoaded, LoadedOrStored, Resume, ToThread
from spindle.actors.registry.relocation import Archive, Delete, Unarchive
from spindle.actors.thread.loading.loading import FromFork, FromHistory, FromRollout, NewThread
from spindle.actors.thread.messages import Attach, Detach, ReadThread, RevertTurns
from spindle.actors.tools.dynamic import check_dynamic_tools
from spindle.actors.tools.sandbox.profile import ProfileError, check
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError, invalid_request
from spindle.rpc.protocol.removal import (
    ThreadDeleteParams,
    ThreadDeleteResponse,
    ThreadRevertParams,
    ThreadRevertResponse,
)
from spindle.rpc.protocol.settings import PermissionProfile
from spindle.rpc.protocol.threads import (
    Thread,
    ThreadArchiveParams,
    ThreadArchiveResponse,
    ThreadForkParams,
    ThreadLoadedListParams,
    ThreadLoadedListResponse,
    ThreadReadParams,
    ThreadReadResponse,
    ThreadResumeParams,
    ThreadStartParams,
    ThreadUnarchiveParams,
    ThreadUnarchiveResponse,
    ThreadUnsubscribeParams,
    ThreadUnsubscribeResponse,
)
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.summary import ThreadSummary, read_summary
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    from spindle.actors.clients.connection import Connection
    from spindle.actors.runtime import Runtime


def mapped(reply: Reply[Any], change: Any) -> Reply[Any]:
    """A reply that passes `change(answer)` on."""

    def resolve(value: Any) -> None:
        reply.resolve(value.map(change) if isinstance(value, Streamed) else change(value))

    return Reply(resolve, reply.reject)


def start(connection: Connection, params: ThreadStartParams, reply: Reply[Any]) -> None:
    """thread/start"""
    check_profile(params.permission_profile)
    check_dynamic_tools(params.dynamic_tools or ())
    opening = NewThread(params=params, client=connection.client)
    connection.runtime.registry.start(opening, Attach(reply=reply, subscriber=connection.subscriber))


def check_profile(profile: PermissionProfile | None) -> None:
    """Raises RpcError if a profile is none."""
    if profile is None:
        return
    try:
        check(profile)
    except ProfileError as error:
        raise invalid_request(f"Invalid request: {error}") from None


def resume(connection: Connection, params: ThreadResumeParams, reply: Reply[Any]) -> None:
    """thread/resume: of the loaded thread if there is one, else from `history`, `path` or the stored id, in this order."""
    check_profile(params.permission_profile)
    registry = connection.runtime.registry
    attach = Attach(reply=reply, subscriber=connection.subscriber, params=params, streamed=True)
    if params.history is not None:
        given = FromHistory(params=params, client=connection.client)
        registry.route(LoadedOrStored(params.thread_id, attach, partial(registry.start, given, attach)))
    elif params.path:
        later = partial(connection.quietly, reply, lambda: _resume_path(connection, params, attach))
        registry.route(LoadedOrStored(params.thread_id, attach, later))
    else:
        id = thread_id(params.thread_id)
        registry.route(Resume(id, attach, FromRollout(params=params, client=connection.client)))


def fork(connection: Connection, params: ThreadForkParams, reply: Reply[Any]) -> None:
    """thread/fork: of what is on disk of the thread by now, be it loaded or not; `path` wins over the id."""
    check_profile(params.permission_profile)
    registry = connection.runtime.registry
    source = None if params.path else thread_id(params.thread_id)
    opening = FromFork(params=params, client=connection.client, source=source)
    registry.start(opening, Attach(reply=reply, subscriber=connection.subscriber, streamed=True))


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

    def stored() -> None:
        connection.later(reply, lambda: read_stored(runtime, id, params.include_turns))

    out = mapped(reply, ThreadReadResponse)
    message = ReadThread(reply=out, include_turns=params.include_turns, streamed=True)
    runtime.registry.route(LoadedOrStored(id, message, stored))


async def read_stored(runtime: Runtime, id: str, include_turns: bool) -> ThreadReadResponse | Streamed:
    """Read a thread that is not loaded, archived ones too."""
    services = runtime.services

    def work() -> tuple[Thread, Snapshot | None] | None:
        path = services.indexing.locate(id) or services.indexing.locate_archived(id)
        if path is None:
            return None
        summary = read_summary(path)
        return describe_stored(summary), Snapshot.stored(OpenRollout(path, services.outliner)) if include_turns else None

    try:
        found = await trio.to_thread.run_sync(work)
    except (StoredThreadError, OSError) as error:
        raise RpcError(INTERNAL_ERROR, f"failed to read thread {id}: {error}") from error
    if found is None:
        raise invalid_request(f"thread not loaded: {id}")
    thread, snapshot = found
    where = await services.state.read_or(lambda db: placements(db, id), Placements())
    response = ThreadReadResponse(where.show(thread))
    return response if snapshot is None else Streamed(response, snapshot)


def loaded_list(connection: Connection, params: ThreadLoadedListParams, reply: Reply[Any]) -> None:
    """thread/loaded/list: ids ascending; the cursor is the last id of the page before."""
    cursor = ""
    if params.cursor is not None:
        try:
            cursor = str(uuid.UUID(params.cursor))
        except ValueError:
            raise invalid_request(f"invalid cursor: {params.cursor}") from None

    def page(loaded: list[str]) -> ThreadLoadedListResponse:
        ids = [id for id in loaded if id > cursor]
        limit = len(ids) if params.limit is None else max(1, params.limit)
        return ThreadLoadedListResponse(ids[:limit], ids[limit - 1] if len(ids) > limit else None)

    connection.runtime.registry.route(ListLoaded(reply=mapped(reply, page)))


def archive(connection: Connection, params: ThreadArchiveParams, reply: Reply[Any]) -> None:
    """thread/archive"""
    id = thread_id(params.thread_id)
    connection.runtime.registry.route(Archive(id, mapped(reply, _archived)))


def _deleted(_: None) -> ThreadDeleteResponse:
    return ThreadDeleteResponse()


def _archived(_: None) -> ThreadArchiveResponse:
    return ThreadArchiveResponse()


def unarchive(connection: Connection, params: ThreadUnarchiveParams, reply: Reply[Any]) -> None:
    """thread/unarchive: the file goes back to the folder of its date."""
    id = thread_id(params.thread_id)

    def answer(found: tuple[ThreadSummary, Placements]) -> ThreadUnarchiveResponse:
        summary, where = found
        return ThreadUnarchiveResponse(where.show(describe_stored(summary)))

    connection.runtime.registry.route(Unarchive(id, mapped(reply, answer)))


def revert(connection: Connection, params: ThreadRevertParams, reply: Reply[Any]) -> None:
    """thread/revert"""

    def answer(reverted: tuple[Thread, str | None]) -> ThreadRevertResponse:
        thread, last = reverted
        cursor = None if last is None else orjson.dumps({"turnId": last, "includeAnchor": True}).decode()
        return ThreadRevertResponse(thread, cursor)

    message = RevertTurns(reply=mapped(reply, answer), before_turn_id=params.before_turn_id)
    connection.runtime.registry.route(ToThread(thread_id(params.thread_id), message))


def delete(connection: Connection, params: ThreadDeleteParams, reply: Reply[Any]) -> None:
    """thread/delete"""
    id = thread_id(params.thread_id)
    connection.runtime.registry.route(Delete(id, mapped(reply, _deleted)))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, StoredThreadError) else str(getattr(error, "strerror", None) or error)
