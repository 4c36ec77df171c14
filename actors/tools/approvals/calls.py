"""Approval of the calls of tools that are not the server's own: the request to the user, and its answer.

It is an elicitation with a `_meta` by which clients recognise it, as in Codex 0.124.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Literal, TypeAlias, cast

from spindle.actors.tools.interface import Refusal
from spindle.rpc.lenient import mapping, sequence
from spindle.rpc.protocol.approvals import (
    ToolRequestUserInputOption,
    ToolRequestUserInputParams,
    ToolRequestUserInputQuestion,
    ToolRequestUserInputResponse,
)
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.mcp import McpFormElicitationParams, McpServerElicitationRequestResponse
from spindle.rpc.protocol.settings import AskForApproval, DangerFullAccessPolicy, SandboxPolicy

Persist: TypeAlias = Literal["session", "always"]


def never_asks(policy: AskForApproval, sandbox: SandboxPolicy) -> bool:
    """Whether calls run without a question: only with the policy never and full access."""
    return policy == "never" and isinstance(sandbox, DangerFullAccessPolicy)


def approval_request(
    thread_id: str,
    turn_id: str,
    server: str,
    message: str,
    arguments: object,
    persist: Sequence[Persist],
    **texts: str | None,
) -> McpFormElicitationParams:
    """The request to approve a call. `persist` is for how long the user may allow it, `texts` are more of its `_meta`."""
    meta: dict[str, Any] = {"codex_approval_kind": "mcp_tool_call"}
    if persist:
        meta["persist"] = list(persist)
    meta |= {name: text for name, text in texts.items() if text is not None}
    if isinstance(arguments, dict):
        members = mapping(cast("object", arguments))
        meta["tool_params"] = members
        meta["tool_params_display"] = [
            {"name": name, "value": members[name], "display_name": name} for name in sorted(members)
        ]
    return McpFormElicitationParams(
        thread_id=thread_id,
        turn_id=turn_id,
        server_name=server,
        meta=meta,
        message=message,
        requested_schema={"type": "object", "properties": {}},
    )


_ALLOW, _SESSION, _CANCEL = "Allow", "Allow for this session", "Cancel"
"""The labels of the options, which are those of Codex: clients know them."""


def as_user_input(request: McpFormElicitationParams, turn_id: str, call_id: str) -> ToolRequestUserInputParams:
    """The approval request as a question with options, for clients that answer no elicitations."""
    lasting = sequence(mapping(request.meta).get("persist"))
    options = [
        ToolRequestUserInputOption(_ALLOW, "Run the tool, and go on."),
        *([ToolRequestUserInputOption(_SESSION, "Also later in this session.")] if "session" in lasting else ()),
        ToolRequestUserInputOption(_CANCEL, "Do not run the tool."),
    ]
    question = ToolRequestUserInputQuestion(
        id=_question_id(call_id), header="Approve tool call?", question=request.message, options=options
    )
    return ToolRequestUserInputParams(request.thread_id, turn_id, call_id, [question])


def chosen(answer: object, call_id: str) -> object:
    """What an answer to `as_user_input` is as one to the elicitation. Another choice than an option declines."""
    try:
        given = structure(answer, ToolRequestUserInputResponse).answers.get(_question_id(call_id))
    except InvalidValue:
        given = None
    match [] if given is None else list(given.answers):
        case [label] if label == _ALLOW:
            return {"action": "accept"}
        case [label] if label == _SESSION:
            return {"action": "accept", "_meta": {"persist": "session"}}
        case [label] if label == _CANCEL:
            return {"action": "cancel"}
        case _:
            return {"action": "decline"}


def _question_id(call_id: str) -> str:
    return f"mcp_tool_call_approval_{call_id}"


async def elicited(answer: Awaitable[object]) -> McpServerElicitationRequestResponse | None:
    """The answer to an elicitation; None for an error or an invalid answer. Raises Refusal."""
    try:
        return structure(await answer, McpServerElicitationRequestResponse)
    except Refusal:
        raise
    except (InvalidValue, RpcError):
        return None
