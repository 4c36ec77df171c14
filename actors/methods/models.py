"""model/list, and the method that exists to try the experimental capability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.mailbox import Reply
from spindle.actors.turn.catalogue import EFFORTS, MODELS, ModelInfo
from spindle.actors.turn.modes import PRESETS
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.models import (
    CollaborationModeListParams,
    CollaborationModeListResponse,
    MockExperimentalMethodParams,
    MockExperimentalMethodResponse,
    Model,
    ModelListParams,
    ModelListResponse,
    ReasoningEffortOption,
)

if TYPE_CHECKING:
    from spindle.actors.connection import Connection


def list_(connection: Connection, params: ModelListParams, reply: Reply[Any]) -> None:
    """model/list: the table of known models; cursors are decimal offsets."""
    rows = [model for model in MODELS if params.include_hidden or not model.hidden]
    offset = 0
    if params.cursor is not None:
        if not (params.cursor.isascii() and params.cursor.isdecimal()):
            raise invalid_request(f"invalid cursor: {params.cursor}")
        offset = int(params.cursor)
        if offset > len(rows):
            raise invalid_request(f"cursor {offset} exceeds total models {len(rows)}")
    end = len(rows) if params.limit is None else offset + max(1, params.limit)
    page = [_row(model) for model in rows[offset:end]]
    reply.resolve(ModelListResponse(page, str(end) if end < len(rows) else None))


def _row(info: ModelInfo) -> Model:
    return Model(
        id=info.slug,
        model=info.slug,
        display_name=info.slug,
        description=info.description,
        hidden=info.hidden,
        supported_reasoning_efforts=[ReasoningEffortOption(effort, EFFORTS[effort]) for effort in info.efforts],
        default_reasoning_effort=info.default_effort,
        additional_speed_tiers=["fast"] if info.fast_tier else [],
        is_default=info is MODELS[0],
    )


def modes(connection: Connection, params: CollaborationModeListParams, reply: Reply[Any]) -> None:
    """collaborationMode/list"""
    reply.resolve(CollaborationModeListResponse(PRESETS))


def echo(connection: Connection, params: MockExperimentalMethodParams, reply: Reply[Any]) -> None:
    """mock/experimentalMethod"""
    reply.resolve(MockExperimentalMethodResponse(params.value))
