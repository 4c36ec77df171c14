"""Turns: start, steer and interrupt one, and the notifications while it runs.

Times are Unix seconds unless a name ends in `_ms` (milliseconds).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.items import FileUpdateChange, FunctionCallOutputBody, ThreadItem
from spindle.rpc.protocol.settings import (
    ApprovalsReviewer,
    AskForApproval,
    CollaborationMode,
    PermissionProfile,
    Personality,
    ReasoningEffort,
    ReasoningSummary,
    SandboxPolicy,
    ServiceTier,
    TurnEnvironmentParams,
)
from spindle.rpc.protocol.shapes import ABSENT, Absent, AbsolutePath, PathName
from spindle.rpc.protocol.user_input import UserInput
from spindle.rpc.protocol.wire import Notification

TurnStatus: TypeAlias = Literal["completed", "interrupted", "failed", "inProgress"]
AdditionalContextKind: TypeAlias = Literal["untrusted", "application"]
TurnItemsView: TypeAlias = Literal["notLoaded", "summary", "full"]
ModelRerouteReason: TypeAlias = Literal["highRiskCyberActivity"]
ModelVerification: TypeAlias = Literal["trustedAccessForCyber"]
TurnPlanStepStatus: TypeAlias = Literal["pending", "inProgress", "completed"]


@frozen
class TurnError:
    """Why a turn failed. `codex_error_info` is the protocol's CodexErrorInfo, a string or an object with one member."""

    message: str
    codex_error_info: object = None
    additional_details: str | None = None


@frozen
class Turn:
    """One turn. Notifications and the answers to what starts it have it without items.

    `items_view` says which items it has. `root_turn_id` is the turn that the work began with: that of the request that
    started the turn, else the turn itself; None if it is not known. Both are from 0.171.
    """

    id: str
    root_turn_id: str | None = field(default=None, kw_only=True)
    items: Sequence[ThreadItem] = ()
    items_view: TurnItemsView = field(default="full", kw_only=True)
    status: TurnStatus = "inProgress"
    error: TurnError | None = None
    started_at: int | None = None
    completed_at: int | None = None
    duration_ms: int | None = None


@frozen
class AdditionalContextEntry:
    """Something that the model is to know. `untrusted` is sent as the output of a tool, labelled by `name` or the key."""

    value: str
    kind: AdditionalContextKind
    name: str | None = None


@frozen
class TurnToolOutput:
    """An output for the model that answers no call."""

    name: str
    output: FunctionCallOutputBody
    namespace: str | None = None


@frozen(kw_only=True)
class TurnStartParams:
    """Start a turn. Its settings also apply to the turns after it, except `output_schema` and `service_tier_for_turn`.

    With empty `environments` the model gets no tools that act on the machine. From 0.171 are `permissions`, the name of
    a permission profile, and `service_tier_for_turn`, where "default" means none. A message that was sent before with the
    same `client_user_message_id` starts nothing: the answer is the turn that took it.
    """

    thread_id: str
    client_user_message_id: str | None = None
    input: Sequence[UserInput]
    tool_output: TurnToolOutput | None = None
    additional_context: Mapping[str, AdditionalContextEntry] | None = None
    responsesapi_client_metadata: Mapping[str, str] | None = field(default=None, metadata={"experimental": True})
    responsesapi_client_metadata_patch: Mapping[str, str] | None = None
    turn_trigger: str | None = None
    parent_turn_id: str | None = None
    root_turn_id: str | None = None
    environments: Sequence[TurnEnvironmentParams] | None = field(default=None, metadata={"experimental": True})
    cwd: PathName | None = None
    runtime_workspace_roots: Sequence[AbsolutePath] | None = None
    approval_policy: AskForApproval | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox_policy: SandboxPolicy | None = None
    permission_profile: PermissionProfile | None = None
    permissions: str | None = None
    model: str | None = None
    service_tier: ServiceTier | Absent | None = ABSENT
    service_tier_for_turn: ServiceTier | None = None
    effort: ReasoningEffort | None = None
    summary: ReasoningSummary | None = None
    personality: Personality | None = None
    output_schema: object = None
    collaboration_mode: CollaborationMode | None = field(default=None, metadata={"experimental": True})


@frozen
class TurnStartResponse:
    """The new turn, or the running one that accepted the input."""

    turn: Turn


@frozen(kw_only=True)
class TurnSteerParams:
    """Add input to the running turn, which must be `expected_turn_id`. A `client_user_message_id` is sent only once."""

    thread_id: str
    client_user_message_id: str | None = None
    input: Sequence[UserInput]
    additional_context: Mapping[str, AdditionalContextEntry] | None = None
    responsesapi_client_metadata: Mapping[str, str] | None = field(default=None, metadata={"experimental": True})
    responsesapi_client_metadata_patch: Mapping[str, str] | None = None
    expected_turn_id: str


@frozen
class TurnSteerResponse:
    """The turn that accepted the input."""

    turn_id: str


@frozen
class TurnInterruptParams:
    """End the running turn now."""

    thread_id: str
    turn_id: str


@frozen
class TurnInterruptResponse:
    """The turn is ending; its `turn/completed` follows."""


@frozen
class TurnStartedNotification(Notification):
    """A turn began."""

    METHOD: ClassVar[str] = "turn/started"

    thread_id: str
    turn: Turn


@frozen
class TurnCompletedNotification(Notification):
    """A turn ended, in any way; its record is on disk."""

    METHOD: ClassVar[str] = "turn/completed"

    thread_id: str
    turn: Turn


@frozen
class TurnPlanStep:
    """One step of the agent's plan."""

    step: str
    status: TurnPlanStepStatus


@frozen
class TurnPlanUpdatedNotification(Notification):
    """The agent changed its plan; the notification has the whole plan."""

    METHOD: ClassVar[str] = "turn/plan/updated"

    thread_id: str
    turn_id: str
    explanation: str | None
    plan: Sequence[TurnPlanStep]


@frozen
class TurnDiffUpdatedNotification(Notification):
    """All changes to files in this turn so far, as one unified diff."""

    METHOD: ClassVar[str] = "turn/diff/updated"

    thread_id: str
    turn_id: str
    diff: str


@frozen
class ItemStartedNotification(Notification):
    """An item began."""

    METHOD: ClassVar[str] = "item/started"

    item: ThreadItem
    thread_id: str
    turn_id: str
    started_at_ms: int


@frozen
class ItemCompletedNotification(Notification):
    """An item is final; it is in the rollout."""

    METHOD: ClassVar[str] = "item/completed"

    item: ThreadItem
    thread_id: str
    turn_id: str
    completed_at_ms: int


@frozen
class AgentMessageDeltaNotification(Notification):
    """More text of an agent message."""

    METHOD: ClassVar[str] = "item/agentMessage/delta"

    thread_id: str
    turn_id: str
    item_id: str
    delta: str


@frozen
class PlanDeltaNotification(Notification):
    """More text of a plan item."""

    METHOD: ClassVar[str] = "item/plan/delta"

    thread_id: str
    turn_id: str
    item_id: str
    delta: str


@frozen
class ReasoningSummaryTextDeltaNotification(Notification):
    """More text of one part of a reasoning summary."""

    METHOD: ClassVar[str] = "item/reasoning/summaryTextDelta"

    thread_id: str
    turn_id: str
    item_id: str
    delta: str
    summary_index: int


@frozen
class ReasoningSummaryPartAddedNotification(Notification):
    """A reasoning summary got a new part."""

    METHOD: ClassVar[str] = "item/reasoning/summaryPartAdded"

    thread_id: str
    turn_id: str
    item_id: str
    summary_index: int


@frozen
class ReasoningTextDeltaNotification(Notification):
    """More of the raw reasoning."""

    METHOD: ClassVar[str] = "item/reasoning/textDelta"

    thread_id: str
    turn_id: str
    item_id: str
    delta: str
    content_index: int


@frozen
class CommandExecutionOutputDeltaNotification(Notification):
    """More output of a command."""

    METHOD: ClassVar[str] = "item/commandExecution/outputDelta"

    thread_id: str
    turn_id: str
    item_id: str
    delta: str


@frozen
class TerminalInteractionNotification(Notification):
    """The agent wrote `stdin` to a running command; an empty text only polls it."""

    METHOD: ClassVar[str] = "item/commandExecution/terminalInteraction"

    thread_id: str
    turn_id: str
    item_id: str
    process_id: str
    stdin: str


@frozen
class FileChangeOutputDeltaNotification(Notification):
    """More output of applying a patch."""

    METHOD: ClassVar[str] = "item/fileChange/outputDelta"

    thread_id: str
    turn_id: str
    item_id: str
    delta: str


@frozen
class FileChangePatchUpdatedNotification(Notification):
    """The changes so far of a patch that the model is still writing."""

    METHOD: ClassVar[str] = "item/fileChange/patchUpdated"

    thread_id: str
    turn_id: str
    item_id: str
    changes: Sequence[FileUpdateChange]


@frozen
class McpToolCallProgressNotification(Notification):
    """The progress of an MCP tool."""

    METHOD: ClassVar[str] = "item/mcpToolCall/progress"

    thread_id: str
    turn_id: str
    item_id: str
    message: str


@frozen
class RawResponseItemCompletedNotification(Notification):
    """One item as the model sent it, for clients that asked for raw events."""

    METHOD: ClassVar[str] = "rawResponseItem/completed"

    thread_id: str
    turn_id: str
    item: object


@frozen
class ContextCompactedNotification(Notification):
    """The history was compacted (the older form of a contextCompaction item)."""

    METHOD: ClassVar[str] = "thread/compacted"

    thread_id: str
    turn_id: str


@frozen
class ErrorNotification(Notification):
    """A turn had an error; it continues if `will_retry`."""

    METHOD: ClassVar[str] = "error"

    error: TurnError
    will_retry: bool
    thread_id: str
    turn_id: str


@frozen
class WarningNotification(Notification):
    """A warning for the user."""

    METHOD: ClassVar[str] = "warning"

    thread_id: str | None
    message: str


@frozen
class ModelReroutedNotification(Notification):
    """The provider answered with another model than requested. The protocol knows one reason for that."""

    METHOD: ClassVar[str] = "model/rerouted"

    thread_id: str
    turn_id: str
    from_model: str
    to_model: str
    reason: ModelRerouteReason = "highRiskCyberActivity"


@frozen
class ModelVerificationNotification(Notification):
    """The provider recommends that the user verifies the account."""

    METHOD: ClassVar[str] = "model/verification"

    thread_id: str
    turn_id: str
    verifications: Sequence[ModelVerification]


@frozen
class TurnModerationMetadataNotification(Notification):
    """What the provider said about the moderation of an answer, as it said it. From 0.171."""

    METHOD: ClassVar[str] = "turn/moderationMetadata"

    thread_id: str
    turn_id: str
    metadata: object
