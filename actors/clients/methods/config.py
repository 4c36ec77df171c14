"""config/read and configRequirements/read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.config import ConfigReadParams, ConfigRequirementsReadResponse
from spindle.rpc.protocol.errors import internal_error
from spindle.storage.config import ConfigError, config_read

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def read(caller: Caller, params: ConfigReadParams, reply: Reply[Any]) -> None:
    """config/read"""
    services = caller.backend.services
    cwd = Path(caller.cwd, params.cwd) if params.cwd is not None else None

    async def work() -> object:
        try:
            return await trio.to_thread.run_sync(
                lambda: config_read(services.config.load(cwd), params.include_layers), abandon_on_cancel=True
            )
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to read configuration: {error}") from error

    caller.later(reply, work)


def requirements(caller: Caller, params: object, reply: Reply[Any]) -> None:
    """configRequirements/read"""
    loader = caller.backend.config_loader

    async def work() -> object:
        try:
            demanded = await trio.to_thread.run_sync(loader.requirements, abandon_on_cancel=True)
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to read configuration layers: {error}") from error
        return ConfigRequirementsReadResponse(demanded.read())

    caller.later(reply, work)
