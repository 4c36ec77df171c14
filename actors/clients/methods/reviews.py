"""review/start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import mapped
from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import LoadedOrStored, Look, ToThread
from spindle.actors.thread.loading.openings import FromFork
from spindle.actors.thread.messages import Attach, Review
from spindle.actors.thread.state import OpenedThread
from spindle.actors.turn.review import checked
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.reviews import ReviewStartParams, ReviewStartResponse
from spindle.rpc.protocol.threads import ThreadForkParams, ThreadResumeResponse, ThreadStartResponse
from spindle.rpc.protocol.turns import Turn

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def start(caller: Caller, params: ReviewStartParams, reply: Reply[Any]) -> None:
    """review/start: in the thread itself or, detached, in a fork of it."""
    id, target = thread_id(params.thread_id), checked(params.target)
    registry = caller.backend.registry

    def review(thread: str) -> None:
        def response(turn: Turn) -> ReviewStartResponse:
            return ReviewStartResponse(turn, thread)

        out = mapped(reply, response)
        registry.route(ToThread(thread, Review(reply=out, turn_id=str(uuid7()), target=target)))

    def forked(loaded: ThreadStartResponse | ThreadResumeResponse | Streamed) -> None:
        assert not isinstance(loaded, Streamed)  # only what is asked for on the wire is
        review(loaded.thread.id)

    if params.delivery != "detached":
        review(id)
        return

    def looked(state: OpenedThread | None) -> None:
        if state is None:
            raise invalid_request(f"thread not found: {id}")
        fork = ThreadForkParams(thread_id=id, cwd=state.settings.cwd)
        opening = FromFork(params=fork, client=caller.client, source=id)
        registry.start(opening, Attach(reply=Reply(forked, reply.reject), subscriber=caller.subscriber))

    out = Reply(looked, reply.reject)
    registry.route(LoadedOrStored(id, Look(reply=out), lambda: out.resolve(None)))
