"""modelProvider/*"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.config_writes import answer, saved
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.config import ModelProviderDefaultSetParams
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.model_providers import (
    CustomGatewayPatch,
    ModelProviderCapabilitiesReadParams,
    ModelProviderCapabilitiesReadResponse,
    ModelProviderConfigWriteParams,
    ModelProviderConfigWriteResponse,
    ModelProviderListParams,
    ModelProviderListResponse,
)
from spindle.storage.config import ConfigError, Layer
from spindle.storage.config.layers import merge_layers
from spindle.storage.config.provider_edits import can_change_default, gateway_edits, summaries, summary
from spindle.storage.config.providers import OFFLINE, OPENAI, providers
from spindle.storage.config.writing import Edit, WriteRefused, write

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.storage.config.loader import ConfigLoader


def list_(caller: Caller, params: ModelProviderListParams, reply: Reply[Any]) -> None:
    """modelProvider/list"""

    async def work() -> ModelProviderListResponse:
        layers = await _layers(caller.backend.services.config)
        config = merge_layers(layers)
        return ModelProviderListResponse(
            data=summaries(config),
            default_provider_id=config.get("model_provider") or OPENAI,
            can_change_default=can_change_default(layers),
        )

    caller.later(reply, work)


def write_config(caller: Caller, params: ModelProviderConfigWriteParams, reply: Reply[Any]) -> None:
    """modelProvider/config/write"""
    loader, patch = caller.backend.services.config, params.settings

    def save() -> ModelProviderConfigWriteResponse:
        if not isinstance(patch, CustomGatewayPatch):
            raise WriteRefused("configValidationError", f"The provider `{patch.provider_id}` is not supported.")
        name, edits = gateway_edits(loader.layers(), patch)
        write(loader, edits)
        return ModelProviderConfigWriteResponse(summary(merge_layers(loader.layers()), name))

    caller.later(reply, lambda: saved(caller, save))


def set_default(caller: Caller, params: ModelProviderDefaultSetParams, reply: Reply[Any]) -> None:
    """modelProvider/default/set"""
    loader, name = caller.backend.services.config, params.provider_id

    async def work() -> object:
        def save() -> object:
            if name not in providers(merge_layers(loader.layers())):
                raise WriteRefused("configValidationError", f"Model provider `{name}` is not configured.")
            return answer(write(loader, [Edit(("model_provider",), name)]), loader.home.config_file)

        return await saved(caller, save)

    caller.later(reply, work)


def read_capabilities(caller: Caller, params: ModelProviderCapabilitiesReadParams, reply: Reply[Any]) -> None:
    """modelProvider/capabilities/read: what its items may be. Whether its models can is not known."""

    async def work() -> ModelProviderCapabilitiesReadResponse:
        config = merge_layers(await _layers(caller.backend.services.config))
        online = config.get("model_provider") != OFFLINE
        return ModelProviderCapabilitiesReadResponse(image_generation=online, web_search=online)

    caller.later(reply, work)


async def _layers(loader: ConfigLoader) -> Sequence[Layer]:
    try:
        return await trio.to_thread.run_sync(loader.layers, abandon_on_cancel=True)
    except (ConfigError, OSError) as error:
        raise internal_error(f"failed to read providers: {error}") from error
