"""config/read, config/value/write, config/batchWrite and configRequirements/read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.config_writes import answer, edits_of, saved
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ReloadConfig
from spindle.rpc.protocol.config import (
    ConfigBatchWriteParams,
    ConfigEdit,
    ConfigReadParams,
    ConfigRequirementsReadResponse,
    ConfigValueWriteParams,
)
from spindle.rpc.protocol.errors import internal_error
from spindle.storage.config import ConfigError
from spindle.storage.config.config_read import config_read
from spindle.storage.config.writing import Written, check_file, write

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def read(caller: Caller, params: ConfigReadParams, reply: Reply[Any]) -> None:
    """config/read"""
    services = caller.backend.services
    cwd = Path(caller.cwd, params.cwd) if params.cwd is not None else None

    async def work() -> object:
        def find() -> object:
            return config_read(services.config.load(cwd), params.include_layers, services.switched_features)

        try:
            return await trio.to_thread.run_sync(find, abandon_on_cancel=True)
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to read configuration: {error}") from error

    caller.later(reply, work)


def write_value(caller: Caller, params: ConfigValueWriteParams, reply: Reply[Any]) -> None:
    """config/value/write"""
    edit = ConfigEdit(params.key_path, params.value, params.merge_strategy)
    _write(caller, reply, [edit], params.file_path, params.expected_version)


def write_batch(caller: Caller, params: ConfigBatchWriteParams, reply: Reply[Any]) -> None:
    """config/batchWrite"""
    _write(caller, reply, params.edits, params.file_path, params.expected_version, reload=params.reload_user_config)


def _write(
    caller: Caller,
    reply: Reply[Any],
    edits: Sequence[ConfigEdit],
    file: str | None,
    expected: str | None,
    *,
    reload: bool = False,
) -> None:
    backend = caller.backend
    loader = backend.services.config
    path = loader.home.config_file if file is None else Path(os.path.abspath(Path(caller.cwd, file)))

    def save() -> Written:
        check_file(loader, path)
        return write(loader, edits_of(edits), expected)

    async def work() -> object:
        done = await saved(caller, save)
        if reload:
            backend.registry.route(ReloadConfig())
        return answer(done, path)

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
