"""model/list, and the method that exists to try the experimental capability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.settings.catalogue import ModelInfo, models
from spindle.actors.settings.modes import PRESETS
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.models import (
    CollaborationModeListParams,
    CollaborationModeListResponse,
    InputModality,
    MockExperimentalMethodParams,
    MockExperimentalMethodResponse,
    Model,
    ModelListParams,
    ModelListResponse,
    ModelServiceTier,
    ReasoningEffortOption,
)
from spindle.rpc.protocol.pages import page_of
from spindle.storage.config.providers import not_found

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


_TIERS: Final = {"fast": ModelServiceTier("priority", "Fast", "Quicker answers, increased usage")}
"""The service tier of each speed tier."""
_MODALITIES: Final[Sequence[InputModality]] = ("text", "image")


def list_(caller: Caller, params: ModelListParams, reply: Reply[Any]) -> None:
    """model/list: the models that turns know; cursors are decimal offsets."""
    backend = caller.backend

    async def work() -> ModelListResponse:
        config, lists = await trio.to_thread.run_sync(backend.config, abandon_on_cancel=True), backend.services.model_lists
        provider = params.model_provider or config.model_provider
        if provider not in config.providers():
            raise invalid_request(not_found(provider, config.providers()))
        await lists.ready(provider, config)
        return _page(models(config, lists.entries(provider, config)), params)

    caller.later(reply, work)


def _page(known: Sequence[ModelInfo], params: ModelListParams) -> ModelListResponse:
    usable = [model for model in known if model.with_key]
    default = next((model for model in usable if not model.hidden), None)
    rows = [model for model in usable if params.include_hidden or not model.hidden]
    page, cursor = page_of(rows, params.cursor, params.limit, "models")
    return ModelListResponse([_row(model, is_default=model is default) for model in page], cursor)


def _row(info: ModelInfo, *, is_default: bool) -> Model:
    return Model(
        id=info.slug,
        model=info.slug,
        display_name=info.title or info.slug,
        description=info.description,
        hidden=info.hidden,
        supported_reasoning_efforts=[ReasoningEffortOption(*effort) for effort in info.efforts.items()],
        default_reasoning_effort=info.default_effort or "none",
        input_modalities=[modality for modality in _MODALITIES if modality in info.modalities],
        additional_speed_tiers=info.speed_tiers,
        service_tiers=[_TIERS[tier] for tier in info.speed_tiers if tier in _TIERS],
        is_default=is_default,
    )


def modes(caller: Caller, params: CollaborationModeListParams, reply: Reply[Any]) -> None:
    """collaborationMode/list"""
    reply.resolve(CollaborationModeListResponse(PRESETS))


def echo(caller: Caller, params: MockExperimentalMethodParams, reply: Reply[Any]) -> None:
    """mock/experimentalMethod"""
    reply.resolve(MockExperimentalMethodResponse(params.value))
