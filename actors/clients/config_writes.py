"""What the methods that write config.toml have in common: their edits, their answer and their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import trio

from spindle.rpc.protocol.config import ConfigEdit, ConfigLayerMetadata, ConfigWriteResponse, OverriddenMetadata
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.storage.config import ConfigError
from spindle.storage.config.writing import Edit, WriteRefused, Written, key_path

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

T = TypeVar("T")


async def saved(caller: Caller, save: Callable[[], T]) -> T:
    """What `save` returns, which writes config.toml in a worker thread and is not cancelled. Raises RpcError."""
    services = caller.backend.services
    try:
        done = await trio.to_thread.run_sync(save)
    except WriteRefused as error:
        raise invalid_request(error.reason, {"config_write_error_code": error.code}) from None
    except (ConfigError, OSError) as error:
        raise internal_error(f"failed to write configuration: {error}") from error
    services.skills.forget()
    return done


def edits_of(edits: Sequence[ConfigEdit]) -> Sequence[Edit]:
    """Raises WriteRefused for an invalid path of keys."""
    return [Edit(key_path(edit.key_path), edit.value, edit.merge_strategy == "upsert") for edit in edits]


def answer(written: Written, file: Path) -> ConfigWriteResponse:
    """The answer, with what overrides the first value that has no effect."""
    override = written.override
    if override is None:
        return ConfigWriteResponse("ok", written.version, str(file))
    layer = ConfigLayerMetadata(override.layer.source, override.layer.version)
    overridden = OverriddenMetadata(override.message, layer, override.value)
    return ConfigWriteResponse("okOverridden", written.version, str(file), overridden)
