"""permissionProfile/list"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.settings.allowed import allows_profile
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.pages import page_of
from spindle.rpc.protocol.permission_profiles import (
    PermissionProfileListParams,
    PermissionProfileListResponse,
    PermissionProfileSummary,
)
from spindle.storage.config import Config, ConfigError
from spindle.storage.config.permissions import BUILT_IN, named

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def list_(caller: Caller, params: PermissionProfileListParams, reply: Reply[Any]) -> None:
    """permissionProfile/list: the built-in ones, then those of the configuration"""
    loader = caller.backend.services.config
    cwd = None if params.cwd is None else Path(caller.cwd, params.cwd)

    def find() -> list[PermissionProfileSummary]:
        config = loader.load(cwd)
        return [_summary(config, name) for name in (*BUILT_IN, *sorted(mapping(config.raw.get("permissions"))))]

    async def work() -> PermissionProfileListResponse:
        try:
            found = await trio.to_thread.run_sync(find, abandon_on_cancel=True)
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to reload config: {error}") from error
        return PermissionProfileListResponse(*page_of(found, params.cursor, params.limit, "permission profiles"))

    caller.later(reply, work)


def _summary(config: Config, name: str) -> PermissionProfileSummary:
    table = mapping(mapping(config.raw.get("permissions")).get(name))
    description = table.get("description")
    try:
        config.profile(name)  # or a thread with it is refused
        allowed = allows_profile(named(config.raw, name), config.requirements)
    except ConfigError:
        allowed = False
    return PermissionProfileSummary(name, description if isinstance(description, str) else None, allowed)
