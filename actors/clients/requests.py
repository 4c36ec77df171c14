"""What the handlers of several nouns have in common: checks of parameters, and replies that carry another answer on."""

from __future__ import annotations

from typing import Any

from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.tools.sandbox.profile import ProfileError, check
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import PermissionProfile


def mapped(reply: Reply[Any], change: Any) -> Reply[Any]:
    """A reply that hands `change(answer)` on to `reply`."""

    def resolve(value: Any) -> None:
        reply.resolve(value.map(change) if isinstance(value, Streamed) else change(value))

    return Reply(resolve, reply.reject)


def check_profile(profile: PermissionProfile | None) -> None:
    """Raises RpcError for a permission profile that is invalid."""
    if profile is None:
        return
    try:
        check(profile)
    except ProfileError as error:
        raise invalid_request(f"Invalid request: {error}") from None
