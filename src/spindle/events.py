"""What the streams of a thread and of a turn yield: `Event`, and each class of it.

A notification has the name and the members of the protocol's, in Python's spelling. `METHOD` is its name on the wire, and
`to_json()` the whole as it is there. Match by class:

    async for event in turn:
        match event:
            case AgentMessageDeltaNotification(delta=text):
                print(text, end="")
            case CommandApproval():
                event.decline()
"""

from spindle.actors.embedding.events import Event
from spindle.actors.embedding.questions import (
    CommandApproval,
    DynamicToolCall,
    Elicitation,
    FileApproval,
    PermissionRequest,
    Question,
    UserQuestion,
)
from spindle.rpc.protocol.config import ConfigWarningNotification, DeprecationNoticeNotification
from spindle.rpc.protocol.goals import ThreadGoalUpdatedNotification
from spindle.rpc.protocol.guardian import (
    GuardianWarningNotification,
    ItemGuardianApprovalReviewCompletedNotification,
    ItemGuardianApprovalReviewStartedNotification,
)
from spindle.rpc.protocol.hooks import HookCompletedNotification, HookStartedNotification
from spindle.rpc.protocol.mcp import McpServerStatusUpdatedNotification
from spindle.rpc.protocol.queue import ThreadQueueChangedNotification
from spindle.rpc.protocol.read_states import ThreadReadStateChangedNotification
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdatedNotification
from spindle.rpc.protocol.threads import (
    RawResponseCompletedNotification,
    ServerRequestResolvedNotification,
    ThreadTokenUsageUpdatedNotification,
)
from spindle.rpc.protocol.turns import (
    AgentMessageDeltaNotification,
    CommandExecutionOutputDeltaNotification,
    ErrorNotification,
    FileChangeOutputDeltaNotification,
    FileChangePatchUpdatedNotification,
    ItemCompletedNotification,
    ItemStartedNotification,
    McpToolCallProgressNotification,
    ModelReroutedNotification,
    ModelVerificationNotification,
    PlanDeltaNotification,
    RawResponseItemCompletedNotification,
    ReasoningSummaryPartAddedNotification,
    ReasoningSummaryTextDeltaNotification,
    ReasoningTextDeltaNotification,
    TerminalInteractionNotification,
    TurnCompletedNotification,
    TurnDiffUpdatedNotification,
    TurnModerationMetadataNotification,
    TurnPlanUpdatedNotification,
    TurnStartedNotification,
    WarningNotification,
)

__all__ = [
    "AgentMessageDeltaNotification",
    "CommandApproval",
    "CommandExecutionOutputDeltaNotification",
    "ConfigWarningNotification",
    "DeprecationNoticeNotification",
    "DynamicToolCall",
    "Elicitation",
    "ErrorNotification",
    "Event",
    "FileApproval",
    "FileChangeOutputDeltaNotification",
    "FileChangePatchUpdatedNotification",
    "GuardianWarningNotification",
    "HookCompletedNotification",
    "HookStartedNotification",
    "ItemCompletedNotification",
    "ItemGuardianApprovalReviewCompletedNotification",
    "ItemGuardianApprovalReviewStartedNotification",
    "ItemStartedNotification",
    "McpServerStatusUpdatedNotification",
    "McpToolCallProgressNotification",
    "ModelReroutedNotification",
    "ModelVerificationNotification",
    "PermissionRequest",
    "PlanDeltaNotification",
    "Question",
    "RawResponseCompletedNotification",
    "RawResponseItemCompletedNotification",
    "ReasoningSummaryPartAddedNotification",
    "ReasoningSummaryTextDeltaNotification",
    "ReasoningTextDeltaNotification",
    "ServerRequestResolvedNotification",
    "TerminalInteractionNotification",
    "ThreadGoalUpdatedNotification",
    "ThreadQueueChangedNotification",
    "ThreadReadStateChangedNotification",
    "ThreadSettingsUpdatedNotification",
    "ThreadTokenUsageUpdatedNotification",
    "TurnCompletedNotification",
    "TurnDiffUpdatedNotification",
    "TurnModerationMetadataNotification",
    "TurnPlanUpdatedNotification",
    "TurnStartedNotification",
    "UserQuestion",
    "WarningNotification",
]
