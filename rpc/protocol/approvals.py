"""Requests from the server to its clients: approvals, questions to the user, calls of the client's own tools."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.items import CommandAction, DynamicToolCallOutputContentItem
from spindle.rpc.protocol.shapes import JsonObject, Keyed

FileChangeApprovalDecision: TypeAlias = Literal["accept", "acceptForSession", "decline", "cancel"]
PermissionGrantScope: TypeAlias = Literal["turn", "session"]

_OPTIONAL = {"omit_none": True}


@frozen
class ExecpolicyAmendment:
    """Allow all commands that begin with these words from now on. Snake case on the wire."""

    execpolicy_amendment: Sequence[str] = field(metadata={"wire": "execpolicy_amendment"})


@frozen
class AcceptWithExecpolicyAmendment:
    """The decision ``{"acceptWithExecpolicyAmendment": {...}}``."""

    accept_with_execpolicy_amendment: ExecpolicyAmendment


@frozen
class NetworkPolicyAmendment:
    """Always allow or always deny one host."""

    host: str
    action: Literal["allow", "deny"]


@frozen
class NetworkAmendment:
    """The content of `ApplyNetworkPolicyAmendment`. Snake case on the wire."""

    network_policy_amendment: NetworkPolicyAmendment = field(metadata={"wire": "network_policy_amendment"})


@frozen
class ApplyNetworkPolicyAmendment:
    """The decision ``{"applyNetworkPolicyAmendment": {...}}``."""

    apply_network_policy_amendment: NetworkAmendment


DecisionWord: TypeAlias = Literal["accept", "acceptForSession", "decline", "cancel"]
CommandExecutionApprovalDecision: TypeAlias = Annotated[
    DecisionWord | AcceptWithExecpolicyAmendment | ApplyNetworkPolicyAmendment,
    Keyed(
        (
            "accept",
            "acceptForSession",
            "acceptWithExecpolicyAmendment",
            "applyNetworkPolicyAmendment",
            "decline",
            "cancel",
        )
    ),
]


@frozen(kw_only=True)
class CommandExecutionRequestApprovalParams:
    """May this command run? Members that do not apply are omitted. `started_at_ms` is from 0.169, whose clients require it."""

    METHOD: ClassVar[str] = "item/commandExecution/requestApproval"

    thread_id: str
    turn_id: str
    item_id: str
    started_at_ms: int
    approval_id: str | None = field(default=None, metadata=_OPTIONAL)
    reason: str | None = field(default=None, metadata=_OPTIONAL)
    network_approval_context: JsonObject | None = field(default=None, metadata=_OPTIONAL)
    command: str | None = field(default=None, metadata=_OPTIONAL)
    cwd: str | None = field(default=None, metadata=_OPTIONAL)
    command_actions: Sequence[CommandAction] | None = field(default=None, metadata=_OPTIONAL)
    additional_permissions: JsonObject | None = field(default=None, metadata=_OPTIONAL)
    proposed_execpolicy_amendment: Sequence[str] | None = field(default=None, metadata=_OPTIONAL)
    proposed_network_policy_amendments: Sequence[NetworkPolicyAmendment] | None = field(
        default=None, metadata=_OPTIONAL
    )
    available_decisions: Sequence[CommandExecutionApprovalDecision] | None = field(default=None, metadata=_OPTIONAL)


@frozen
class CommandExecutionRequestApprovalResponse:
    """The user's decision."""

    decision: CommandExecutionApprovalDecision


@frozen(kw_only=True)
class FileChangeRequestApprovalParams:
    """May this patch be applied? Its item, with the changes, was announced before. `grant_root`: the folder to allow as
    well.
    """

    METHOD: ClassVar[str] = "item/fileChange/requestApproval"

    thread_id: str
    turn_id: str
    item_id: str
    started_at_ms: int
    reason: str | None = None
    grant_root: str | None = None


@frozen
class FileChangeRequestApprovalResponse:
    """The user's decision."""

    decision: FileChangeApprovalDecision


@frozen(kw_only=True)
class PermissionsRequestApprovalParams:
    """May the agent have these permissions?"""

    METHOD: ClassVar[str] = "item/permissions/requestApproval"

    thread_id: str
    turn_id: str
    item_id: str
    started_at_ms: int
    cwd: str
    reason: str | None = None
    permissions: JsonObject


@frozen
class PermissionsRequestApprovalResponse:
    """The granted permissions and their duration."""

    permissions: JsonObject
    scope: PermissionGrantScope = "turn"
    strict_auto_review: bool | None = field(default=None, metadata=_OPTIONAL)


@frozen(kw_only=True)
class DynamicToolCallParams:
    """Run one of the client's own tools."""

    METHOD: ClassVar[str] = "item/tool/call"

    thread_id: str
    turn_id: str
    call_id: str
    namespace: str | None = None
    tool: str
    arguments: object


@frozen
class DynamicToolCallResponse:
    """The answer of the client's tool."""

    content_items: Sequence[DynamicToolCallOutputContentItem]
    success: bool


@frozen
class ToolRequestUserInputOption:
    """One option."""

    label: str
    description: str


@frozen(kw_only=True)
class ToolRequestUserInputQuestion:
    """One question. `is_other` allows free text; `is_secret` hides it while the user types."""

    id: str
    header: str
    question: str
    is_other: bool = False
    is_secret: bool = False
    options: Sequence[ToolRequestUserInputOption] | None = None


@frozen
class ToolRequestUserInputParams:
    """The agent asks the user and waits for the answer. `is_blocking` is from 0.169, whose clients require it: whether the
    user should answer before doing anything else, as in plan mode.
    """

    METHOD: ClassVar[str] = "item/tool/requestUserInput"

    thread_id: str
    turn_id: str
    item_id: str
    questions: Sequence[ToolRequestUserInputQuestion]
    is_blocking: bool = True
    auto_resolution_ms: int | None = None


@frozen
class ToolRequestUserInputAnswer:
    """The options that the user chose, or the user's text."""

    answers: Sequence[str]


@frozen
class ToolRequestUserInputResponse:
    """Answers by question id."""

    answers: Mapping[str, ToolRequestUserInputAnswer]
