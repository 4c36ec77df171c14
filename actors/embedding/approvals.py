"""Questions of the agent to the application: how a callback answers them, and how unanswered ones are declined."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, get_args

from spindle.actors.delivery.questions import Question
from spindle.actors.tasks.blocks import open_block
from spindle.rpc.protocol.approvals import (
    CommandExecutionRequestApprovalParams,
    CommandExecutionRequestApprovalResponse,
    DecisionWord,
    DynamicToolCallParams,
    DynamicToolCallResponse,
    FileChangeRequestApprovalParams,
    FileChangeRequestApprovalResponse,
    PermissionsRequestApprovalParams,
    PermissionsRequestApprovalResponse,
    ToolRequestUserInputParams,
    ToolRequestUserInputResponse,
)
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.mcp import (
    McpFormElicitationParams,
    McpServerElicitationRequestResponse,
    McpUrlElicitationParams,
)

ApprovalQuestion: TypeAlias = (
    CommandExecutionRequestApprovalParams
    | FileChangeRequestApprovalParams
    | PermissionsRequestApprovalParams
    | ToolRequestUserInputParams
    | McpFormElicitationParams
    | McpUrlElicitationParams
    | DynamicToolCallParams
)
"""A question of an agent. Its `thread_id` says which agent asks."""

ApprovalAnswer: TypeAlias = (
    DecisionWord
    | CommandExecutionRequestApprovalResponse
    | FileChangeRequestApprovalResponse
    | PermissionsRequestApprovalResponse
    | ToolRequestUserInputResponse
    | McpServerElicitationRequestResponse
    | DynamicToolCallResponse
)
"""The response of the question's own type; for commands and patches the decision alone is enough: "accept", "decline" …"""

Approve: TypeAlias = Callable[[ApprovalQuestion], Awaitable[ApprovalAnswer]]
"""A callback that answers questions. It is cancelled when the question is answered by another subscriber, or withdrawn."""

_RESPONSES: Mapping[type, type[Any]] = {
    CommandExecutionRequestApprovalParams: CommandExecutionRequestApprovalResponse,
    FileChangeRequestApprovalParams: FileChangeRequestApprovalResponse,
    PermissionsRequestApprovalParams: PermissionsRequestApprovalResponse,
    ToolRequestUserInputParams: ToolRequestUserInputResponse,
    McpFormElicitationParams: McpServerElicitationRequestResponse,
    McpUrlElicitationParams: McpServerElicitationRequestResponse,
    DynamicToolCallParams: DynamicToolCallResponse,
}
_DECIDED = (CommandExecutionRequestApprovalResponse, FileChangeRequestApprovalResponse)


async def approve_by(approve: Approve, question: Question) -> None:
    """Answer `question` with `approve`. If that raises, the question is declined and the exception raised."""
    if question.settled:
        return
    async with open_block() as nursery:

        async def watch() -> None:
            await question.over()
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        try:
            question.answer(_json(question.params, await approve(question.params)))
        except Exception:
            decline(question)
            raise


def decline(question: Question) -> None:
    """Refuse the question: what it asks for does not happen."""
    question.refuse(internal_error("the application does not answer this question"))


def _json(question: Any, answer: Any) -> object:
    response = _RESPONSES[type(question)]
    if answer in get_args(DecisionWord) and response in _DECIDED:
        answer = response(answer)
    if not isinstance(answer, response):
        raise TypeError(f"{type(question).__name__} is answered with {response.__name__}, not {answer!r}")
    return unstructure(answer)


def subject(question: ApprovalQuestion, files: Sequence[str] = ()) -> str:
    """What a question is about, as text for people. `files` are the files of its patch, if they are known."""
    match question:
        case CommandExecutionRequestApprovalParams(command=command):
            return f"to run the command `{command}`"
        case FileChangeRequestApprovalParams(item_id=id, grant_root=root):
            return f"to change {', '.join(files) or root or f'files (item {id})'}"
        case PermissionsRequestApprovalParams(reason=reason, permissions=permissions):
            return f"to have permissions {permissions}" + (f", {reason}" if reason else "")
        case ToolRequestUserInputParams(questions=questions):
            return f"what to answer to {'; '.join(one.question for one in questions)}"
        case McpFormElicitationParams(server_name=server, message=text):
            return f"what to answer the MCP server {server}: {text}"
        case McpUrlElicitationParams(server_name=server, url=url):
            return f"to visit {url} for the MCP server {server}"
        case DynamicToolCallParams(tool=tool):
            return f"to call the client's tool `{tool}`"
