"""The notifications about one thread that its subscribers get. Others go to all clients, subscribed or not."""

from typing import TypeAlias

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

ThreadNotification: TypeAlias = (
    AgentMessageDeltaNotification
    | CommandExecutionOutputDeltaNotification
    | ConfigWarningNotification
    | DeprecationNoticeNotification
    | ErrorNotification
    | FileChangeOutputDeltaNotification
    | FileChangePatchUpdatedNotification
    | GuardianWarningNotification
    | HookCompletedNotification
    | HookStartedNotification
    | ItemCompletedNotification
    | ItemGuardianApprovalReviewCompletedNotification
    | ItemGuardianApprovalReviewStartedNotification
    | ItemStartedNotification
    | McpServerStatusUpdatedNotification
    | McpToolCallProgressNotification
    | ModelReroutedNotification
    | ModelVerificationNotification
    | PlanDeltaNotification
    | RawResponseItemCompletedNotification
    | RawResponseCompletedNotification
    | ReasoningSummaryPartAddedNotification
    | ReasoningSummaryTextDeltaNotification
    | ReasoningTextDeltaNotification
    | ServerRequestResolvedNotification
    | TerminalInteractionNotification
    | ThreadGoalUpdatedNotification
    | ThreadQueueChangedNotification
    | ThreadReadStateChangedNotification
    | ThreadSettingsUpdatedNotification
    | ThreadTokenUsageUpdatedNotification
    | TurnCompletedNotification
    | TurnDiffUpdatedNotification
    | TurnModerationMetadataNotification
    | TurnPlanUpdatedNotification
    | TurnStartedNotification
    | WarningNotification
)
"""What `emit` of a thread, of a turn and of their tools takes."""
