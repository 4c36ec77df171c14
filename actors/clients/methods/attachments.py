"""thread/attachment/* and thread/attachmentOwner/list: what clients keep with threads."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.stored import check_kept
from spindle.rpc.protocol.attachments import (
    ThreadAttachmentAddParams,
    ThreadAttachmentAddResponse,
    ThreadAttachmentListParams,
    ThreadAttachmentListResponse,
    ThreadAttachmentOwner,
    ThreadAttachmentOwnerListParams,
    ThreadAttachmentOwnerListResponse,
    ThreadAttachmentRemoveParams,
    ThreadAttachmentRemoveResponse,
    ThreadAttachmentUpdatedNotification,
)
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error
from spindle.storage.state import StateUnavailable, attachments
from spindle.storage.state.attachments import AttachmentError, check_names
from spindle.storage.threads.locate import locate, locate_archived

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.rpc.protocol.attachments import ThreadAttachment, ThreadAttachmentOperation

T = TypeVar("T")

PAGE = 25
LARGEST_PAGE = 100

_CURSOR = "invalid pagination cursor"


def add(caller: Caller, params: ThreadAttachmentAddParams, reply: Reply[Any]) -> None:
    """thread/attachment/add: a new attachment is announced to every client after the answer."""
    id, backend = thread_id(params.thread_id, code=INVALID_PARAMS), caller.backend
    type, identity = params.attachment_type, params.identity_key

    async def run() -> None:
        await check_kept(backend, id)
        now = int(time.time())
        attachment, created = await _done(
            backend.services.state.change(lambda db: attachments.add(db, id, type, identity, params.payload, now))
        )
        reply.resolve(ThreadAttachmentAddResponse("created" if created else "existing", attachment))
        if created:
            _announce(caller, id, attachment, "created")

    _checked(type, identity)
    caller.quietly(reply, run)


def remove(caller: Caller, params: ThreadAttachmentRemoveParams, reply: Reply[Any]) -> None:
    """thread/attachment/remove"""
    id, backend = thread_id(params.thread_id, code=INVALID_PARAMS), caller.backend
    type, identity = params.attachment_type, params.identity_key

    async def run() -> None:
        await check_kept(backend, id)
        removed = await _done(backend.services.state.change(lambda db: attachments.remove(db, id, type, identity)))
        reply.resolve(ThreadAttachmentRemoveResponse())
        if removed is not None:
            _announce(caller, id, removed, "deleted")

    _checked(type, identity)
    caller.quietly(reply, run)


def list_(caller: Caller, params: ThreadAttachmentListParams, reply: Reply[Any]) -> None:
    """thread/attachment/list: the cursor is the time and the id of the last attachment of the page before."""
    id, limit = thread_id(params.thread_id, code=INVALID_PARAMS), _size(params.limit)
    after = None if params.cursor is None else _position(params.cursor)

    nothing: list[ThreadAttachment] = []

    async def run() -> ThreadAttachmentListResponse:
        found = await _done(
            caller.backend.services.state.read(lambda db: attachments.page(db, id, after, limit + 1), nothing)
        )
        page = found[:limit]
        more = len(found) > limit
        return ThreadAttachmentListResponse(page, f"{page[-1].created_at}|{page[-1].id}" if more else None)

    caller.later(reply, run)


def owners(caller: Caller, params: ThreadAttachmentOwnerListParams, reply: Reply[Any]) -> None:
    """thread/attachmentOwner/list: the cursor is the last thread of the page before."""
    type, identity, limit = params.attachment_type, params.identity_key, _size(params.limit)
    _checked(type, identity)
    after = "" if params.cursor is None else _thread(params.cursor)
    services = caller.backend.services
    nothing: list[str] = []

    async def run() -> ThreadAttachmentOwnerListResponse:
        ids = await _done(services.state.read(lambda db: attachments.owners(db, type, identity, after), nothing))

        def work() -> list[ThreadAttachmentOwner]:
            found: list[ThreadAttachmentOwner] = []
            for id in ids:
                archived = locate(services.home, id) is None
                if archived and locate_archived(services.home, id) is None:
                    continue  # its files are gone, perhaps by another program
                if params.archived in (None, archived):
                    found.append(ThreadAttachmentOwner(id, archived))
                if len(found) > limit:
                    break
            return found

        try:
            found = await trio.to_thread.run_sync(work)
        except OSError as error:
            raise internal_error(f"failed to look for threads: {error}") from error
        page = found[:limit]
        return ThreadAttachmentOwnerListResponse(page, page[-1].thread_id if len(found) > limit else None)

    caller.later(reply, run)


def _size(limit: int | None) -> int:
    return PAGE if limit is None else max(1, min(limit, LARGEST_PAGE))


def _position(cursor: str) -> tuple[int, str]:
    at, mark, id = cursor.partition("|")
    if not (mark and at.isascii() and at.isdigit() and len(at) < 16):
        raise RpcError(INVALID_PARAMS, _CURSOR)
    return int(at), id


def _thread(cursor: str) -> str:
    try:
        return thread_id(cursor)
    except RpcError:
        raise RpcError(INVALID_PARAMS, _CURSOR) from None


def _checked(type: str, identity: str) -> None:
    try:
        check_names(type, identity)
    except AttachmentError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from None


def _announce(caller: Caller, id: str, attachment: ThreadAttachment, operation: ThreadAttachmentOperation) -> None:
    type, identity = attachment.attachment_type, attachment.identity_key
    caller.backend.audience.announce(ThreadAttachmentUpdatedNotification(id, type, identity, attachment.id, operation))


async def _done(work: Awaitable[T]) -> T:
    try:
        return await work
    except AttachmentError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from error
    except StateUnavailable as error:
        raise internal_error(str(error)) from error
