"""thread/readState/update: marking threads as read or unread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.stored import known
from spindle.rpc.protocol.errors import INVALID_PARAMS, internal_error, invalid_request
from spindle.rpc.protocol.read_states import (
    MarkUnread,
    ReadStateConflict,
    ThreadReadStateChangedNotification,
    ThreadReadStateUpdateParams,
    ThreadReadStateUpdateResponse,
)
from spindle.storage.state import StateUnavailable
from spindle.storage.state.read_states import RevisionConflict, mark

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def update(caller: Caller, params: ThreadReadStateUpdateParams, reply: Reply[Any]) -> None:
    """thread/readState/update: every client is notified before the answer."""
    id, backend = thread_id(params.thread_id, code=INVALID_PARAMS), caller.backend

    async def run() -> ThreadReadStateUpdateResponse:
        await known(
            backend,
            id,
            missing=f"thread not loaded: {id}",
            ephemeral="thread read state unavailable",
            unwritten="thread read state unavailable",
        )
        unread = isinstance(params.operation, MarkUnread)
        try:
            state = await backend.services.state.change(
                partial(mark, thread_id=id, unread=unread, expected=params.expected_revision)
            )
        except RevisionConflict as conflict:
            raise invalid_request(str(conflict), ReadStateConflict(conflict.state)) from conflict
        except StateUnavailable as error:
            raise internal_error(str(error)) from error
        backend.audience.announce(ThreadReadStateChangedNotification(id, state))
        return ThreadReadStateUpdateResponse(state)

    caller.later(reply, run)
