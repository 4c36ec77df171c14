"""thread/name/set, thread/metadata/update and the other changes of a thread outside of turns.

Where the reference accepts threads that are not loaded, their rollout is changed in place. Requests for the thread wait
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve
from uuid_utils import uuid7

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import mapped
from spindle.actors.delivery.description import describe_stored, git_info
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.changing import change, rename
from spindle.actors.registry.messages import LoadedOrStored, ToThread
from spindle.actors.registry.stored import show_stored
from spindle.actors.thread.messages import (
    Compact,
    CountElicitation,
    InjectItems,
    ReadThread,
    RollBack,
    SetMemoryMode,
    UpdateMetadata,
)
from spindle.actors.thread.repository import git_columns, git_meta, patched
from spindle.actors.turn.response_items import check_items
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.shapes import ABSENT
from spindle.rpc.protocol.thread_changes import (
    ThreadCompactStartParams,
    ThreadCompactStartResponse,
    ThreadElicitationParams,
    ThreadInjectItemsParams,
    ThreadInjectItemsResponse,
    ThreadMemoryModeSetParams,
    ThreadMemoryModeSetResponse,
    ThreadMetadataGitInfoUpdateParams,
    ThreadMetadataUpdateParams,
    ThreadMetadataUpdateResponse,
    ThreadRollbackParams,
    ThreadRollbackResponse,
    ThreadSetNameParams,
    ThreadSetNameResponse,
)
from spindle.rpc.protocol.threads import Thread, ThreadReadResponse
from spindle.storage.rollout import records
from spindle.storage.rollout.compressed import inflate
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.codex_database import update_codex_database
from spindle.storage.threads.locate import locate, locate_archived
from spindle.storage.threads.metadata import append_to_stored, latest_meta
from spindle.storage.threads.summary import read_summary
from spindle.storage.threads.thread_errors import NoSessionMeta

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend


def _answering(response: Callable[[], object]) -> Callable[[object], object]:
    """Answers with a response that has nothing to say."""
    return lambda _done: response()


def set_name(caller: Caller, params: ThreadSetNameParams, reply: Reply[Any]) -> None:
    """thread/name/set"""
    rename(caller.backend, thread_id(params.thread_id), params.name, mapped(reply, _answering(ThreadSetNameResponse)))


def update_metadata(caller: Caller, params: ThreadMetadataUpdateParams, reply: Reply[Any]) -> None:
    """thread/metadata/update: the project first, then the state of the repository."""
    id, project = thread_id(params.thread_id), params.project_id
    answered = mapped(reply, ThreadMetadataUpdateResponse)
    if project is None:
        _update_git(caller.backend, id, _trimmed(params.git_info), answered)
        return
    git = None if params.git_info is None else _trimmed(params.git_info)

    async def run() -> None:
        from spindle.actors.registry.projects import set_project

        backend = caller.backend
        await set_project(backend, id, project or None)
        if git is not None:
            _update_git(backend, id, git, answered)
            return
        stored = partial(caller.later, answered, lambda: show_stored(backend, id))
        backend.registry.route(LoadedOrStored(id, ReadThread(reply=mapped(answered, _thread_of)), stored))

    caller.quietly(reply, run)


def _update_git(backend: Backend, id: str, git: ThreadMetadataGitInfoUpdateParams, reply: Reply[Thread]) -> None:
    home = backend.services.home

    def work() -> Thread:
        path, meta = _located(backend, id)
        summary = read_summary(path)
        after = patched(git_info(summary), git)[0]
        append_to_stored(home, path, id, [records.session_meta(meta | {"git": git_meta(after)})])
        update_codex_database(home, id, git_columns(after))
        placed = partial(placements, thread_id=id)
        where = trio.from_thread.run(backend.services.state.read_or, placed, Placements())
        return where.show(describe_stored(read_summary(path)))

    change(backend, id, UpdateMetadata(reply=reply, git=git), work)


def _trimmed(patch: ThreadMetadataGitInfoUpdateParams | None) -> ThreadMetadataGitInfoUpdateParams:
    given: dict[str, str | None] = {}
    for name, wire in (("sha", "sha"), ("branch", "branch"), ("origin_url", "originUrl")):
        value = ABSENT if patch is None else getattr(patch, name)
        if value is ABSENT:
            continue
        given[name] = value.strip() if value is not None else None
        if given[name] == "":
            raise invalid_request(f"gitInfo.{wire} must not be empty")
    if patch is None or not given:
        raise invalid_request("gitInfo must include at least one field")
    return evolve(patch, **given)


def set_memory_mode(caller: Caller, params: ThreadMemoryModeSetParams, reply: Reply[Any]) -> None:
    """thread/memoryMode/set"""
    id, backend = thread_id(params.thread_id), caller.backend

    def work() -> None:
        path, meta = _located(backend, id)
        meta = meta | {"memory_mode": params.mode}
        append_to_stored(backend.services.home, path, id, [records.session_meta(meta)])

    out = mapped(reply, _answering(ThreadMemoryModeSetResponse))
    change(backend, id, SetMemoryMode(reply=out, mode=params.mode), work)


def _located(backend: Backend, id: str) -> tuple[Path, dict[str, Any]]:
    """The rollout, archived or not, and its session_meta."""
    home = backend.services.home
    path = locate(home, id) or locate_archived(home, id)
    if path is None:
        raise invalid_request(f"thread not found: {id}")
    read_summary(path)  # refuses what is not a rollout
    path = inflate(path)
    meta = latest_meta(path, id)
    if meta is None:
        raise NoSessionMeta(path)
    return path, meta


def roll_back(caller: Caller, params: ThreadRollbackParams, reply: Reply[Any]) -> None:
    """thread/rollback"""
    id = thread_id(params.thread_id)
    if params.num_turns < 1:
        raise invalid_request("numTurns must be >= 1")
    message = RollBack(reply=mapped(reply, ThreadRollbackResponse), count=params.num_turns, streamed=True)
    caller.backend.registry.route(ToThread(id, message))


def inject_items(caller: Caller, params: ThreadInjectItemsParams, reply: Reply[Any]) -> None:
    """thread/inject_items"""
    id = thread_id(params.thread_id)
    items = check_items(params.items)
    out = mapped(reply, _answering(ThreadInjectItemsResponse))
    caller.backend.registry.route(ToThread(id, InjectItems(reply=out, items=items)))


def compact(caller: Caller, params: ThreadCompactStartParams, reply: Reply[Any]) -> None:
    """thread/compact/start"""
    id = thread_id(params.thread_id)
    out = mapped(reply, _answering(ThreadCompactStartResponse))
    caller.backend.registry.route(ToThread(id, Compact(reply=out, turn_id=str(uuid7()))))


def increment_elicitation(caller: Caller, params: ThreadElicitationParams, reply: Reply[Any]) -> None:
    """thread/increment_elicitation"""
    _count(caller, params, reply, 1)


def decrement_elicitation(caller: Caller, params: ThreadElicitationParams, reply: Reply[Any]) -> None:
    """thread/decrement_elicitation"""
    _count(caller, params, reply, -1)


def _count(caller: Caller, params: ThreadElicitationParams, reply: Reply[Any], step: int) -> None:
    id = thread_id(params.thread_id)
    caller.backend.registry.route(ToThread(id, CountElicitation(reply=reply, step=step)))


def _thread_of(read: ThreadReadResponse) -> Thread:
    return read.thread
