"""project/*: the user's groups of threads."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.projects import with_recency
from spindle.actors.registry.stored import check_kept
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error
from spindle.rpc.protocol.projects import (
    Project,
    ProjectChangedNotification,
    ProjectCreateParams,
    ProjectCreateResponse,
    ProjectDeleteParams,
    ProjectDeleteResponse,
    ProjectImportParams,
    ProjectImportResponse,
    ProjectListParams,
    ProjectListResponse,
    ProjectMoveParams,
    ProjectMoveResponse,
    ProjectReadParams,
    ProjectReadResponse,
    ProjectUpdateParams,
    ProjectUpdateResponse,
    ThreadProjectUpdatedNotification,
)
from spindle.storage.state import StateUnavailable, projects
from spindle.storage.state.projects import ProjectError

if TYPE_CHECKING:
    import sqlite3

    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend
    from spindle.rpc.protocol.projects import ProjectChangeType

T = TypeVar("T")

PAGE = 25
LARGEST_PAGE = 100
MOST_THREADS = 1000
"""How many threads an import may name."""


def list_(caller: Caller, params: ProjectListParams, reply: Reply[Any]) -> None:
    """project/list: the cursor names the order, and the last project of the page before with its place in it."""
    if params.sort_direction is not None and params.sort_key is None:
        raise RpcError(INVALID_PARAMS, "sortDirection requires sortKey")
    limit = PAGE if params.limit is None else max(1, min(params.limit, LARGEST_PAGE))

    backend = caller.backend
    nothing: list[Project] = []

    async def run() -> ProjectListResponse:
        every = await _done(backend.services.state.read(projects.list_projects, nothing))
        if params.sort_key == "recencyAt":
            every = _by_recency(await _shown(backend, every), newest_first=params.sort_direction != "asc")
        elif params.sort_direction == "desc":
            every = every[::-1]
        start = 0 if params.cursor is None else _after(every, params, params.cursor)
        page = every[start : start + limit]
        if params.sort_key != "recencyAt":
            page = await _shown(backend, page)
        return ProjectListResponse(page, _cursor(params, page[-1].id) if len(every) > start + limit else None)

    caller.later(reply, run)


def read(caller: Caller, params: ProjectReadParams, reply: Reply[Any]) -> None:
    """project/read"""

    async def run() -> ProjectReadResponse:
        found = await _done(
            caller.backend.services.state.read(lambda db: projects.read_project(db, params.project_id), None)
        )
        if found is None:
            raise RpcError(INVALID_PARAMS, f"project not found: {params.project_id}")
        return ProjectReadResponse(*await _shown(caller.backend, [found]))

    caller.later(reply, run)


def create(caller: Caller, params: ProjectCreateParams, reply: Reply[Any]) -> None:
    """project/create"""

    async def run() -> ProjectCreateResponse:
        project, created = await _change(caller, _creation(params))
        if created:
            _announce(caller, project.id, "created")
        return ProjectCreateResponse(*await _shown(caller.backend, [project]))

    caller.later(reply, run)


def import_(caller: Caller, params: ProjectImportParams, reply: Reply[Any]) -> None:
    """project/import: with a key that was used before, no thread is moved."""
    threads = params.threads or ()
    if len(threads) > MOST_THREADS:
        raise RpcError(INVALID_PARAMS, f"threads accepts at most {MOST_THREADS} entries")
    seen: set[str] = set()
    for id in threads:
        if id in seen:
            raise RpcError(INVALID_PARAMS, f"duplicate thread id: {id}")
        seen.add(id)
    creation = _creation(params)

    def work(db: sqlite3.Connection) -> tuple[Project, bool, list[str]]:
        project, created = creation(db)
        return project, created, [id for id in threads if projects.assign(db, id, project.id)] if created else []

    async def run() -> ProjectImportResponse:
        for id in threads:
            await check_kept(caller.backend, id)
        project, created, moved = await _change(caller, work)
        if created:
            _announce(caller, project.id, "created")
        for id in moved:
            caller.backend.audience.announce(ThreadProjectUpdatedNotification(id, project.id))
        return ProjectImportResponse(*await _shown(caller.backend, [project]))

    caller.later(reply, run)


def update(caller: Caller, params: ProjectUpdateParams, reply: Reply[Any]) -> None:
    """project/update"""
    now = int(time.time())

    def work(db: sqlite3.Connection) -> tuple[Project, bool]:
        return projects.update_project(db, params.project_id, params.name, params.roots, params.metadata, now)

    async def run() -> ProjectUpdateResponse:
        project, changed = await _change(caller, work)
        if changed:
            _announce(caller, project.id, "updated")
        return ProjectUpdateResponse(*await _shown(caller.backend, [project]))

    caller.later(reply, run)


def move(caller: Caller, params: ProjectMoveParams, reply: Reply[Any]) -> None:
    """project/move"""

    async def run() -> ProjectMoveResponse:
        await _change(caller, lambda db: projects.move_project(db, params.project_id, params.before_project_id))
        _announce(caller, params.project_id, "updated")
        return ProjectMoveResponse()

    caller.later(reply, run)


def delete(caller: Caller, params: ProjectDeleteParams, reply: Reply[Any]) -> None:
    """project/delete"""

    async def run() -> ProjectDeleteResponse:
        threads = await _change(caller, lambda db: projects.delete_project(db, params.project_id))
        _announce(caller, params.project_id, "deleted")
        for id in threads:
            caller.backend.audience.announce(ThreadProjectUpdatedNotification(id, None))
        return ProjectDeleteResponse()

    caller.later(reply, run)


def _creation(
    params: ProjectCreateParams | ProjectImportParams,
) -> Callable[[sqlite3.Connection], tuple[Project, bool]]:
    now = int(time.time())
    key, name, roots, metadata = params.idempotency_key, params.name, params.roots, params.metadata or {}
    return lambda db: projects.create_project(db, key, name, roots, metadata, now)


def _by_recency(every: Sequence[Project], *, newest_first: bool) -> list[Project]:
    """By recency and id; those without threads last."""
    used = [project for project in every if project.recency_at is not None]
    unused = [project for project in every if project.recency_at is None]
    return [
        *sorted(used, key=lambda project: (project.recency_at or 0, project.id), reverse=newest_first),
        *sorted(unused, key=lambda project: project.id, reverse=newest_first),
    ]


def _cursor(params: ProjectListParams, id: str) -> str:
    return f"{params.sort_key or 'position'}|{params.sort_direction or ''}|{id}"


def _after(every: Sequence[Project], params: ProjectListParams, cursor: str) -> int:
    id = cursor.rpartition("|")[2]
    if cursor == _cursor(params, id):
        for number, project in enumerate(every, 1):
            if project.id == id:
                return number
    raise RpcError(INVALID_PARAMS, "invalid project cursor: malformed or mismatched sort anchor")


def _announce(caller: Caller, id: str, change: ProjectChangeType) -> None:
    caller.backend.audience.announce(ProjectChangedNotification(id, change))


async def _shown(backend: Backend, found: Sequence[Project]) -> list[Project]:
    return await _done(with_recency(backend, found))


async def _change(caller: Caller, work: Callable[[sqlite3.Connection], T]) -> T:
    return await _done(caller.backend.services.state.change(work))


async def _done(work: Awaitable[T]) -> T:
    try:
        return await work
    except ProjectError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from error
    except (StateUnavailable, OSError) as error:
        raise internal_error(str(error)) from error
