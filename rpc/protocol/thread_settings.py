"""Change the settings of a loaded thread between turns. From Codex 0.169."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import (
    ApprovalsReviewer,
    AskForApproval,
    CollaborationMode,
    Personality,
    ReasoningEffort,
    ReasoningSummary,
    SandboxPolicy,
    ServiceTier,
    TurnEnvironmentParams,
)
from spindle.rpc.protocol.shapes import ABSENT, Absent, JsonObject, PathName
from spindle.rpc.protocol.wire import Notification


@frozen(kw_only=True)
class ThreadSettingsUpdateParams:
    """The changes for the next turns; None keeps a setting, but clears the `service_tier`."""

    thread_id: str
    cwd: PathName | None = None
    environments: Sequence[TurnEnvironmentParams] | None = None
    approval_policy: AskForApproval | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox_policy: SandboxPolicy | None = None
    permissions: str | None = None
    model: str | None = None
    service_tier: ServiceTier | Absent | None = ABSENT
    effort: ReasoningEffort | None = None
    summary: ReasoningSummary | None = None
    collaboration_mode: CollaborationMode | None = None
    personality: Personality | None = None


@frozen
class ThreadSettingsUpdateResponse:
    """The settings are changed."""


@frozen(kw_only=True)
class ThreadSettings:
    """The settings of a thread's next turn."""

    disabled_plugin_ids: Sequence[str] = ()
    cwd: str
    environments: Sequence[JsonObject] | None = None
    approval_policy: AskForApproval
    approvals_reviewer: ApprovalsReviewer
    sandbox_policy: SandboxPolicy
    active_permission_profile: JsonObject | None = None
    model: str
    model_provider: str
    service_tier: ServiceTier | None = None
    effort: ReasoningEffort | None = None
    summary: ReasoningSummary | None = None
    collaboration_mode: CollaborationMode
    multi_agent_mode: Literal["explicitRequestOnly"] = "explicitRequestOnly"
    personality: Personality | None = None


@frozen
class ThreadSettingsUpdatedNotification(Notification):
    """The settings of a thread have changed."""

    METHOD: ClassVar[str] = "thread/settings/updated"

    thread_id: str
    thread_settings: ThreadSettings
