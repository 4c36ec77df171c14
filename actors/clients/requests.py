"""What the handlers of several nouns have in common: checks of parameters, and replies that carry another answer on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve

from spindle.actors.clients.identity import thread_id
from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.tools.sandbox.profile import ProfileError, check
from spindle.rpc.protocol.errors import ThreadNotFound, invalid_request
from spindle.rpc.protocol.settings import PermissionProfile
from spindle.rpc.protocol.user_input import LocalAudioInput, LocalImageInput, UserInput

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

P = TypeVar("P")


def mapped(reply: Reply[Any], change: Any) -> Reply[Any]:
    """A reply that hands `change(answer)` on to `reply`."""

    def resolve(value: Any) -> None:
        reply.resolve(value.map(change) if isinstance(value, Streamed) else change(value))

    return Reply(resolve, reply.reject)


def directory_of(caller: Caller, id: str) -> str:
    """The working directory of the loaded thread `id`. Raises RpcError."""
    id = thread_id(id)
    state = caller.backend.registry.directory.state(id)
    if state is None:
        raise ThreadNotFound(f"thread not found: {id}")
    return state.settings.cwd


def check_profile(profile: PermissionProfile | None) -> None:
    """Raises RpcError for a permission profile that is invalid."""
    if profile is None:
        return
    try:
        check(profile)
    except ProfileError as error:
        raise invalid_request(f"Invalid request: {error}") from None


def based_path(caller: Caller, path: str) -> str:
    """The same path; a relative one is taken from the client's own directory, if it has one."""
    return path if caller.cwd == caller.backend.cwd else os.path.join(caller.cwd, path)


def based(caller: Caller, params: P, *members: str) -> P:
    """The same params, with the paths in these members as `based_path` has them. None and "" stay as they are."""
    if caller.cwd == caller.backend.cwd:
        return params
    given: Any = params
    out: P = evolve(given, **{name: based_path(caller, path) for name in members if (path := getattr(given, name))})
    return out


def based_input(caller: Caller, content: Sequence[UserInput]) -> Sequence[UserInput]:
    """The same input, with the paths of local images and audio as `based_path` has them."""
    if caller.cwd == caller.backend.cwd:
        return content
    return [based(caller, part, "path") if isinstance(part, LocalImageInput | LocalAudioInput) else part for part in content]
