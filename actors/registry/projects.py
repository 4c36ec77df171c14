"""Which project a thread is in: changed and announced here, for each method that does so."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from attrs import evolve

from spindle.actors.registry.stored import known
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.projects import Project, ThreadProjectUpdatedNotification
from spindle.rpc.protocol.threads import ThreadSourceKind
from spindle.storage.state import StateUnavailable
from spindle.storage.state.projects import ProjectError, assign, members
from spindle.storage.threads.query import ThreadQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.actors.registry.backend import Backend


async def set_project(backend: Backend, id: str, project: str | None) -> None:
    """Put a stored thread, loaded or not, into a project, or out of its project. Raises RpcError."""
    await known(
        backend,
        id,
        missing=f"thread not found: {id}",
        ephemeral=f"ephemeral thread does not support metadata updates: {id}",
        unwritten=f"no rollout found for thread id {id}",
    )
    try:
        changed = await backend.services.state.change(lambda db: assign(db, id, project))
    except ProjectError as error:
        raise invalid_request(str(error)) from error
    except StateUnavailable as error:
        raise internal_error(str(error)) from error
    if changed:
        backend.audience.announce(ThreadProjectUpdatedNotification(id, project))


async def with_recency(backend: Backend, projects: Sequence[Project]) -> list[Project]:
    """The projects with `recency_at`. Raises StateUnavailable, OSError."""
    nothing: dict[str, frozenset[str]] = {}
    threads = await backend.services.state.read(
        lambda db: {each.id: members(db, each.id) for each in projects}, nothing
    )
    found: list[Project] = []
    for project in projects:
        query = ThreadQuery(
            limit=1,
            sort_key="recency_at",
            model_providers=(),
            source_kinds=get_args(ThreadSourceKind),
            only_ids=threads.get(project.id, frozenset()),
        )
        page = await backend.indexing.page(query, lambda: "", backend.loaded()) if query.only_ids else None
        found.append(evolve(project, recency_at=page.data[0].updated_at) if page is not None and page.data else project)
    return found
