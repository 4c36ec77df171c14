"""Spindle hosts agent threads on trio and speaks the Codex app-server protocol. Each thread is an actor.

A public name is imported at its first use, so that `import spindle` stays cheap.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing takes longer to import than all of this
if TYPE_CHECKING:
    __version__: str

    from spindle.actors.embedding.approvals import ApprovalAnswer as ApprovalAnswer
    from spindle.actors.embedding.approvals import ApprovalQuestion as ApprovalQuestion
    from spindle.actors.embedding.approvals import Approve as Approve
    from spindle.actors.embedding.failures import ApprovalRequired as ApprovalRequired
    from spindle.actors.embedding.failures import InvalidOption as InvalidOption
    from spindle.actors.embedding.failures import SubscriberLagged as SubscriberLagged
    from spindle.actors.embedding.failures import ThreadClosed as ThreadClosed
    from spindle.actors.embedding.failures import TurnFailed as TurnFailed
    from spindle.actors.embedding.failures import TurnInterrupted as TurnInterrupted
    from spindle.actors.embedding.runtime import Runtime as Runtime
    from spindle.actors.embedding.runtime import fork_thread as fork_thread
    from spindle.actors.embedding.runtime import open_runtime as open_runtime
    from spindle.actors.embedding.runtime import resume_thread as resume_thread
    from spindle.actors.embedding.runtime import start_thread as start_thread
    from spindle.actors.embedding.threads import ThreadHandle as ThreadHandle
    from spindle.actors.embedding.turns import TurnHandle as TurnHandle
    from spindle.actors.services.instruments import Instrument as Instrument
    from spindle.rpc.model.interface import Model as Model
    from spindle.rpc.model.interface import ModelError as ModelError
    from spindle.rpc.model.offline import OfflineModel as OfflineModel
    from spindle.rpc.model.offline import ScriptedAnswer as ScriptedAnswer
    from spindle.rpc.model.responses import ResponsesModel as ResponsesModel
    from spindle.rpc.protocol.approvals import (
        CommandExecutionRequestApprovalParams as CommandExecutionRequestApprovalParams,
    )
    from spindle.rpc.protocol.approvals import (
        CommandExecutionRequestApprovalResponse as CommandExecutionRequestApprovalResponse,
    )
    from spindle.rpc.protocol.approvals import DynamicToolCallParams as DynamicToolCallParams
    from spindle.rpc.protocol.approvals import DynamicToolCallResponse as DynamicToolCallResponse
    from spindle.rpc.protocol.approvals import FileChangeRequestApprovalParams as FileChangeRequestApprovalParams
    from spindle.rpc.protocol.approvals import FileChangeRequestApprovalResponse as FileChangeRequestApprovalResponse
    from spindle.rpc.protocol.approvals import PermissionsRequestApprovalParams as PermissionsRequestApprovalParams
    from spindle.rpc.protocol.approvals import PermissionsRequestApprovalResponse as PermissionsRequestApprovalResponse
    from spindle.rpc.protocol.approvals import ToolRequestUserInputAnswer as ToolRequestUserInputAnswer
    from spindle.rpc.protocol.approvals import ToolRequestUserInputParams as ToolRequestUserInputParams
    from spindle.rpc.protocol.approvals import ToolRequestUserInputResponse as ToolRequestUserInputResponse
    from spindle.rpc.protocol.errors import Error as Error
    from spindle.rpc.protocol.errors import RpcError as RpcError
    from spindle.rpc.protocol.errors import ThreadNotFound as ThreadNotFound
    from spindle.rpc.protocol.mcp import McpFormElicitationParams as McpFormElicitationParams
    from spindle.rpc.protocol.mcp import McpServerElicitationRequestResponse as McpServerElicitationRequestResponse
    from spindle.rpc.protocol.mcp import McpUrlElicitationParams as McpUrlElicitationParams
    from spindle.rpc.protocol.turns import AgentMessageDeltaNotification as AgentMessageDeltaNotification
    from spindle.rpc.protocol.turns import ItemCompletedNotification as ItemCompletedNotification
    from spindle.rpc.protocol.turns import ItemStartedNotification as ItemStartedNotification
    from spindle.rpc.protocol.turns import TurnCompletedNotification as TurnCompletedNotification
    from spindle.rpc.protocol.turns import TurnStartedNotification as TurnStartedNotification

_NAMES = {
    "ApprovalAnswer": "spindle.actors.embedding.approvals",
    "ApprovalQuestion": "spindle.actors.embedding.approvals",
    "Approve": "spindle.actors.embedding.approvals",
    "ApprovalRequired": "spindle.actors.embedding.failures",
    "InvalidOption": "spindle.actors.embedding.failures",
    "SubscriberLagged": "spindle.actors.embedding.failures",
    "ThreadClosed": "spindle.actors.embedding.failures",
    "TurnFailed": "spindle.actors.embedding.failures",
    "TurnInterrupted": "spindle.actors.embedding.failures",
    "Runtime": "spindle.actors.embedding.runtime",
    "fork_thread": "spindle.actors.embedding.runtime",
    "open_runtime": "spindle.actors.embedding.runtime",
    "resume_thread": "spindle.actors.embedding.runtime",
    "start_thread": "spindle.actors.embedding.runtime",
    "ThreadHandle": "spindle.actors.embedding.threads",
    "TurnHandle": "spindle.actors.embedding.turns",
    "Instrument": "spindle.actors.services.instruments",
    "Model": "spindle.rpc.model.interface",
    "ModelError": "spindle.rpc.model.interface",
    "OfflineModel": "spindle.rpc.model.offline",
    "ScriptedAnswer": "spindle.rpc.model.offline",
    "ResponsesModel": "spindle.rpc.model.responses",
    "CommandExecutionRequestApprovalParams": "spindle.rpc.protocol.approvals",
    "CommandExecutionRequestApprovalResponse": "spindle.rpc.protocol.approvals",
    "DynamicToolCallParams": "spindle.rpc.protocol.approvals",
    "DynamicToolCallResponse": "spindle.rpc.protocol.approvals",
    "FileChangeRequestApprovalParams": "spindle.rpc.protocol.approvals",
    "FileChangeRequestApprovalResponse": "spindle.rpc.protocol.approvals",
    "PermissionsRequestApprovalParams": "spindle.rpc.protocol.approvals",
    "PermissionsRequestApprovalResponse": "spindle.rpc.protocol.approvals",
    "ToolRequestUserInputAnswer": "spindle.rpc.protocol.approvals",
    "ToolRequestUserInputParams": "spindle.rpc.protocol.approvals",
    "ToolRequestUserInputResponse": "spindle.rpc.protocol.approvals",
    "Error": "spindle.rpc.protocol.errors",
    "RpcError": "spindle.rpc.protocol.errors",
    "ThreadNotFound": "spindle.rpc.protocol.errors",
    "McpFormElicitationParams": "spindle.rpc.protocol.mcp",
    "McpServerElicitationRequestResponse": "spindle.rpc.protocol.mcp",
    "McpUrlElicitationParams": "spindle.rpc.protocol.mcp",
    "AgentMessageDeltaNotification": "spindle.rpc.protocol.turns",
    "ItemCompletedNotification": "spindle.rpc.protocol.turns",
    "ItemStartedNotification": "spindle.rpc.protocol.turns",
    "TurnCompletedNotification": "spindle.rpc.protocol.turns",
    "TurnStartedNotification": "spindle.rpc.protocol.turns",
}

__all__ = [
    "AgentMessageDeltaNotification",
    "ApprovalAnswer",
    "ApprovalQuestion",
    "ApprovalRequired",
    "Approve",
    "CommandExecutionRequestApprovalParams",
    "CommandExecutionRequestApprovalResponse",
    "DynamicToolCallParams",
    "DynamicToolCallResponse",
    "Error",
    "FileChangeRequestApprovalParams",
    "FileChangeRequestApprovalResponse",
    "Instrument",
    "InvalidOption",
    "ItemCompletedNotification",
    "ItemStartedNotification",
    "McpFormElicitationParams",
    "McpServerElicitationRequestResponse",
    "McpUrlElicitationParams",
    "Model",
    "ModelError",
    "OfflineModel",
    "PermissionsRequestApprovalParams",
    "PermissionsRequestApprovalResponse",
    "ResponsesModel",
    "RpcError",
    "Runtime",
    "ScriptedAnswer",
    "SubscriberLagged",
    "ThreadClosed",
    "ThreadHandle",
    "ThreadNotFound",
    "ToolRequestUserInputAnswer",
    "ToolRequestUserInputParams",
    "ToolRequestUserInputResponse",
    "TurnCompletedNotification",
    "TurnFailed",
    "TurnHandle",
    "TurnInterrupted",
    "TurnStartedNotification",
    "fork_thread",
    "open_runtime",
    "resume_thread",
    "start_thread",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("spindle")  # `version` of pyproject.toml, as it was when Spindle was installed
    try:
        module = _NAMES[name]
    except KeyError:
        raise AttributeError(f"module 'spindle' has no attribute {name!r}") from None
    return getattr(import_module(module), name)
