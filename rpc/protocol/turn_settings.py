"""Change the settings of a running turn. From Codex 0.171."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import (
    ApprovalsReviewer,
    ReasoningEffort,
    ReasoningSummary,
    ServiceTier,
    TurnEnvironmentParams,
)
from spindle.rpc.protocol.shapes import ABSENT, Absent

TurnSettingsUpdateStatus: TypeAlias = Literal["applied", "targetUnavailable"]


@frozen(kw_only=True)
class TurnSettingsUpdateParams:
    """Change settings of one running turn, from its next request to the model on; None changes nothing."""

    thread_id: str
    turn_id: str
    approvals_reviewer: ApprovalsReviewer | None = None
    environments: Sequence[TurnEnvironmentParams] | None = None
    model: str | None = None
    effort: ReasoningEffort | None = None
    summary: ReasoningSummary | None = None
    service_tier: ServiceTier | Absent | None = ABSENT


@frozen
class TurnSettingsUpdateResponse:
    """Whether the turn was still running."""

    status: TurnSettingsUpdateStatus
