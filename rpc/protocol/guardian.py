"""Approvals that a model decides about in place of the user."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import JsonObject, Tagged
from spindle.rpc.protocol.wire import Notification

GuardianRiskLevel: TypeAlias = Literal["low", "medium", "high", "critical"]
GuardianUserAuthorization: TypeAlias = Literal["unknown", "low", "medium", "high"]
GuardianApprovalReviewStatus: TypeAlias = Literal["inProgress", "approved", "denied", "timedOut", "aborted"]
GuardianCommandSource: TypeAlias = Literal["shell", "unifiedExec"]


@frozen
class CommandGuardianApprovalReviewAction:
    """A command."""

    type: Literal["command"] = field(default="command", init=False)
    source: GuardianCommandSource
    command: str
    cwd: str


@frozen
class ApplyPatchGuardianApprovalReviewAction:
    """A patch. The `files` are absolute."""

    type: Literal["applyPatch"] = field(default="applyPatch", init=False)
    cwd: str
    files: Sequence[str]


@frozen
class McpToolCallGuardianApprovalReviewAction:
    """A call of a tool of an MCP server."""

    type: Literal["mcpToolCall"] = field(default="mcpToolCall", init=False)
    server: str
    tool_name: str
    connector_id: str | None = None
    connector_name: str | None = None
    tool_title: str | None = None


@frozen
class RequestPermissionsGuardianApprovalReviewAction:
    """A request for permissions beyond the sandbox."""

    type: Literal["requestPermissions"] = field(default="requestPermissions", init=False)
    reason: str | None
    permissions: JsonObject


GuardianApprovalReviewAction: TypeAlias = Annotated[
    CommandGuardianApprovalReviewAction
    | ApplyPatchGuardianApprovalReviewAction
    | McpToolCallGuardianApprovalReviewAction
    | RequestPermissionsGuardianApprovalReviewAction,
    Tagged("GuardianApprovalReviewAction"),
]


@frozen
class GuardianApprovalReview:
    """What is known of a review."""

    status: GuardianApprovalReviewStatus
    risk_level: GuardianRiskLevel | None = None
    user_authorization: GuardianUserAuthorization | None = None
    rationale: str | None = None


@frozen(kw_only=True)
class ItemGuardianApprovalReviewStartedNotification(Notification):
    """A review has started. `target_item_id` is the item that it decides about. Times are milliseconds since the epoch."""

    METHOD: ClassVar[str] = "item/autoApprovalReview/started"

    thread_id: str
    turn_id: str
    started_at_ms: int
    review_id: str
    target_item_id: str | None
    review: GuardianApprovalReview
    action: GuardianApprovalReviewAction


@frozen(kw_only=True)
class ItemGuardianApprovalReviewCompletedNotification(Notification):
    """A review has ended."""

    METHOD: ClassVar[str] = "item/autoApprovalReview/completed"

    thread_id: str
    turn_id: str
    started_at_ms: int
    completed_at_ms: int
    review_id: str
    target_item_id: str | None
    decision_source: Literal["agent"] = "agent"
    review: GuardianApprovalReview
    action: GuardianApprovalReviewAction


@frozen
class GuardianWarningNotification(Notification):
    """What a review has decided, in a sentence for the user."""

    METHOD: ClassVar[str] = "guardianWarning"

    thread_id: str
    message: str


GuardianAssessmentAction: TypeAlias = Literal[
    "command", "execve", "write_stdin", "apply_patch", "network_access", "mcp_tool_call", "request_permissions"
]


@frozen
class GuardianAssessedAction:
    """The action of a `GuardianAssessmentEvent`, of which only the type is read."""

    type: GuardianAssessmentAction


@frozen
class GuardianAssessmentEvent:
    """A review in the spelling of rollouts, which a client sends back. The other members of it are not read."""

    id: str
    status: Literal["in_progress", "approved", "denied", "timed_out", "aborted"]
    action: GuardianAssessedAction


@frozen
class ThreadApproveGuardianDeniedActionParams:
    """The user allows an action that a review has denied. `event` describes the review, in the spelling of rollouts."""

    thread_id: str
    event: object


@frozen
class ThreadApproveGuardianDeniedActionResponse:
    """The model and the reviewer know of it."""
