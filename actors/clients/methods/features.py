"""experimentalFeature/*"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.requests import directory_of
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.features import (
    ExperimentalFeature,
    ExperimentalFeatureEnablementSetParams,
    ExperimentalFeatureEnablementSetResponse,
    ExperimentalFeatureListParams,
    ExperimentalFeatureListResponse,
)
from spindle.rpc.protocol.pages import page_of
from spindle.storage.config import Config, ConfigError
from spindle.storage.config.features import SWITCHED, features

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def list_(caller: Caller, params: ExperimentalFeatureListParams, reply: Reply[Any]) -> None:
    """experimentalFeature/list, for a loaded thread or outside of projects"""
    services = caller.backend.services
    cwd = None if params.thread_id is None else Path(directory_of(caller, params.thread_id))

    async def work() -> ExperimentalFeatureListResponse:
        try:
            config: Config = await trio.to_thread.run_sync(services.config.load, cwd, abandon_on_cancel=True)
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to reload config: {error}") from error
        found = [
            ExperimentalFeature(name=one.name, stage=one.stage, enabled=one.enabled, default_enabled=one.default)
            for one in features(config, services.switched_features)
        ]
        return ExperimentalFeatureListResponse(*page_of(found, params.cursor, params.limit, "feature flags"))

    caller.later(reply, work)


def set_enablement(caller: Caller, params: ExperimentalFeatureEnablementSetParams, reply: Reply[Any]) -> None:
    """experimentalFeature/enablement/set: for this process, and weaker than config.toml"""
    changed = {name: on for name, on in params.enablement.items() if name in SWITCHED}
    caller.backend.services.switched_features.update(changed)
    reply.resolve(ExperimentalFeatureEnablementSetResponse(changed))
