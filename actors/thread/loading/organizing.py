"""What a new thread or a fork gets beside its rollout: its project, and the attachments of its source."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spindle.actors.services.services import Services
from spindle.actors.thread.state import OpenedThread
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.storage.state import StateUnavailable
from spindle.storage.state.attachments import copy_attachments
from spindle.storage.state.database import is_organized
from spindle.storage.state.projects import ProjectError, assign, copy_membership, read_project

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger("spindle")


async def join_project(services: Services, thread_id: str, opened: OpenedThread, project_id: str) -> None:
    """Put a new thread into a project; of an ephemeral one nothing is stored. Raises RpcError."""
    def work(db: sqlite3.Connection) -> None:
        if opened.ephemeral:
            read_project(db, project_id)
        else:
            assign(db, thread_id, project_id)

    try:
        await services.state.change(work)
    except ProjectError as error:
        raise invalid_request(str(error)) from error
    except StateUnavailable as error:
        raise internal_error(str(error)) from error
    opened.project_id = project_id


async def inherit(services: Services, thread_id: str, opened: OpenedThread) -> None:
    """Give a fork the project and the attachments of its source, as far as the state is available."""
    source, store = opened.forked_from_id, services.state
    if source is None or opened.ephemeral or not await store.read_or(lambda db: is_organized(db, source), False):
        return
    def work(db: sqlite3.Connection) -> str | None:
        copy_attachments(db, source, thread_id, opened.created_at)
        return copy_membership(db, source, thread_id)

    try:
        opened.project_id = await store.change(work)
    except StateUnavailable as error:
        log.warning("thread %s is forked without its source's project and attachments: %s", thread_id, error)
