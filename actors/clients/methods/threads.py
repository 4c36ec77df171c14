"""thread/*: the life of threads, as clients ask for it."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import trio
from attrs import evolve

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import based, check_profile, mapped
from spindle.actors.delivery.description import describe_stored
from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import Leave, ListLoaded, LoadedOrStored, Resume, ToThread
from spindle.actors.registry.relocation import Archive, Delete, Unarchive
from spindle.actors.registry.stored import read_stored
from spindle.actors.thread.loading.openings import FromFork, FromHistory, FromRollout, NewThread
from spindle.actors.thread.messages import Attach, Detach, ReadThread, RevertTurns
from spindle.actors.tools.dynamic import check_dynamic_tools
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.removal import (
    ThreadDeleteParams,
    ThreadDeleteResponse,
    ThreadRevertParams,
    ThreadRevertResponse,
)
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
from spindle.storage.state.read_states import read_state
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.summary import ThreadSummary, read_summary
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend
    from spindle.rpc.protocol.read_states import ThreadReadState

Placed = TypeVar("Placed", ThreadStartParams, ThreadResumeParams)


def start(caller: Caller, params: ThreadStartParams, reply: Reply[Any]) -> None:
    """thread/start"""
    check_profile(params.permission_profile)
    check_dynamic_tools(params.dynamic_tools or ())
    opening = NewThread(params=_placed(caller, params), client=caller.client, trusts=params.cwd is not None)
    caller.backend.registry.start(opening, Attach(reply=reply, subscriber=caller.subscriber))


def resume(caller: Caller, params: ThreadResumeParams, reply: Reply[Any]) -> None:
    """thread/resume: of the loaded thread if there is one, else from `history`, `path` or the stored id, in this order."""
    check_profile(params.permission_profile)
    params = based(caller, params, "cwd", "path")
    registry = caller.backend.registry
    attach = Attach(reply=reply, subscriber=caller.subscriber, params=params, streamed=True)
    if params.history is not None:
        given = FromHistory(params=_placed(caller, params), client=caller.client)
        registry.route(LoadedOrStored(params.thread_id, attach, partial(registry.start, given, attach)))
    elif params.path:
        later = partial(caller.quietly, reply, lambda: _resume_path(caller, params, attach))
        registry.route(LoadedOrStored(params.thread_id, attach, later))
    else:
        id = thread_id(params.thread_id)
        registry.route(Resume(id, attach, FromRollout(params=params, client=caller.client)))


def fork(caller: Caller, params: ThreadForkParams, reply: Reply[Any]) -> None:
    """thread/fork: copies what the thread's rollout has now, whether the thread is loaded or not. `path` wins over the id."""
    check_profile(params.permission_profile)
    params = based(caller, params, "cwd", "path")
    registry = caller.backend.registry
    source = None if params.path else thread_id(params.thread_id)
    opening = FromFork(params=params, client=caller.client, source=source)
    registry.start(opening, Attach(reply=reply, subscriber=caller.subscriber, streamed=True))


def _placed(caller: Caller, params: Placed) -> Placed:
    """The same params. If the client has a directory of its own, they name that one if they name none."""
    return based(caller, evolve(params, cwd=".") if not params.cwd and caller.cwd != caller.backend.cwd else params, "cwd")


async def _resume_path(caller: Caller, params: ThreadResumeParams, attach: Attach) -> None:
    path = Path(caller.backend.services.cwd, params.path or "")
    try:
        summary = await trio.to_thread.run_sync(lambda: read_summary(path))
    except (StoredThreadError, OSError) as error:
        raise invalid_request(f"failed to load rollout `{path}`: {_reason(error)}") from error
    opening = FromRollout(params=params, client=caller.client, path=path)
    caller.backend.registry.route(Resume(summary.id, attach, opening))


def unsubscribe(caller: Caller, params: ThreadUnsubscribeParams, reply: Reply[Any]) -> None:
    """thread/unsubscribe"""
    id = thread_id(params.thread_id)
    out = mapped(reply, ThreadUnsubscribeResponse)
    caller.backend.registry.route(Leave(id, Detach(reply=out, subscriber=caller.subscriber)))


def read(caller: Caller, params: ThreadReadParams, reply: Reply[Any]) -> None:
    """thread/read: of a loaded thread what it says of itself, else what its rollout says."""
    id, backend = thread_id(params.thread_id), caller.backend

    def stored() -> None:
        caller.later(reply, lambda: _read_stored(backend, id, params.include_turns))

    message = ReadThread(reply=reply, include_turns=params.include_turns, streamed=True)
    backend.registry.route(LoadedOrStored(id, message, stored))


async def _read_stored(backend: Backend, id: str, include_turns: bool) -> ThreadReadResponse | Streamed:
    services = backend.services

    def work(path: Path) -> tuple[Thread, Snapshot | None]:
        summary = read_summary(path)
        return describe_stored(summary), Snapshot.stored(OpenRollout(path, services.outliner)) if include_turns else None

    thread, snapshot = await read_stored(backend, id, work)
    unknown: tuple[Placements, ThreadReadState | None] = (Placements(), None)
    where, unread = await services.state.read_or(lambda db: (placements(db, id), read_state(db, id)), unknown)
    response = ThreadReadResponse(where.show(thread), unread)
    return response if snapshot is None else Streamed(response, snapshot)


def loaded_list(caller: Caller, params: ThreadLoadedListParams, reply: Reply[Any]) -> None:
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

    caller.backend.registry.route(ListLoaded(reply=mapped(reply, page)))


def archive(caller: Caller, params: ThreadArchiveParams, reply: Reply[Any]) -> None:
    """thread/archive"""
    id = thread_id(params.thread_id)
    caller.backend.registry.route(Archive(id, mapped(reply, _archived)))


def _deleted(_: None) -> ThreadDeleteResponse:
    return ThreadDeleteResponse()


def _archived(_: None) -> ThreadArchiveResponse:
    return ThreadArchiveResponse()


def unarchive(caller: Caller, params: ThreadUnarchiveParams, reply: Reply[Any]) -> None:
    """thread/unarchive: the file goes back to the folder of its date."""
    id = thread_id(params.thread_id)

    def answer(found: tuple[ThreadSummary, Placements]) -> ThreadUnarchiveResponse:
        summary, where = found
        return ThreadUnarchiveResponse(where.show(describe_stored(summary)))

    caller.backend.registry.route(Unarchive(id, mapped(reply, answer)))


def revert(caller: Caller, params: ThreadRevertParams, reply: Reply[Any]) -> None:
    """thread/revert"""

    def answer(reverted: tuple[Thread, str | None]) -> ThreadRevertResponse:
        thread, last = reverted
        cursor = None if last is None else orjson.dumps({"turnId": last, "includeAnchor": True}).decode()
        return ThreadRevertResponse(thread, cursor)

    message = RevertTurns(reply=mapped(reply, answer), before_turn_id=params.before_turn_id)
    caller.backend.registry.route(ToThread(thread_id(params.thread_id), message))


def delete(caller: Caller, params: ThreadDeleteParams, reply: Reply[Any]) -> None:
    """thread/delete"""
    id = thread_id(params.thread_id)
    caller.backend.registry.route(Delete(id, mapped(reply, _deleted)))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, StoredThreadError) else str(getattr(error, "strerror", None) or error)
