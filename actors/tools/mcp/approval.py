"""Approval of MCP tool calls: whether to ask, the request, and the meaning of the answer.

The rules are those of Codex 0.124. The tool's annotations decide, unless the configuration does. Only the policy never with
full access never asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from spindle.actors.tools.approvals.calls import Persist, approval_request, never_asks
from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.rpc.mcp.payload import Json, as_text
from spindle.rpc.protocol.mcp import McpFormElicitationParams, McpServerElicitationRequestResponse
from spindle.rpc.protocol.settings import AskForApproval, GranularApproval, SandboxPolicy
from spindle.rpc.protocol.values import readable
from spindle.storage.config.mcp_servers import ApprovalMode

if TYPE_CHECKING:
    from spindle.rpc.protocol.guardian import McpToolCallGuardianApprovalReviewAction

_CHARACTERS: Final = 16_384
_OURS: Final = frozenset(
    ("persist", "tool_title", "tool_name", "tool_description", "tool_params", "tool_params_display", "approvals_reviewer")
)
_OURS_BEGIN: Final = ("codex", "x-codex", "connector")
REJECTED: Final = "user rejected MCP tool call"
CANCELLED: Final = "user cancelled MCP tool call"


@frozen
class CallVerdict:
    """The decision on a call: `refusal` is None if it may run; `persist` is how long it is not asked again."""

    refusal: str | None = None
    persist: Persist | None = None


def asks(annotations: object, mode: ApprovalMode, policy: AskForApproval, sandbox: SandboxPolicy) -> bool:
    """Whether to ask before a call of a tool with these annotations."""
    if mode == "approve" or never_asks(policy, sandbox):
        return False
    return mode == "prompt" or _is_risky(mapping(annotations))


def may_elicit(policy: AskForApproval) -> bool:
    """Whether elicitations of servers may reach the user."""
    if isinstance(policy, GranularApproval):
        return policy.granular.mcp_elicitations
    return policy != "never"


def foreign(meta: object) -> Json | None:
    """The `_meta` of a server's elicitation, without members by which clients recognise our approval requests."""
    if not isinstance(meta, dict):
        return None
    given = mapping(cast("object", meta))
    ours = {name for name in given if name.lower() in _OURS or name.lower().startswith(_OURS_BEGIN)}
    return {name: value for name, value in given.items() if name not in ours}


def shown(text: object) -> str:
    """A text of a server for the user: truncated, and without terminal control characters."""
    return readable(as_text(text, _CHARACTERS + 1), _CHARACTERS)


def question(
    thread_id: str, turn_id: str, server: str, tool: Json, arguments: object, mode: ApprovalMode
) -> McpFormElicitationParams:
    """The approval request for a call of `tool` of `server` with `arguments`."""
    title, description = tool.get("title"), tool.get("description")
    return approval_request(
        thread_id,
        turn_id,
        server,
        f'Allow the {server} MCP server to run tool "{tool.get("name")}"?',
        arguments,
        ("session", "always") if mode == "auto" else (),
        tool_title=None if title is None else shown(title),
        tool_description=None if description is None else shown(description),
    )


def call_review(
    server: str, tool: Json, arguments: object
) -> tuple[McpToolCallGuardianApprovalReviewAction, Mapping[str, object]]:
    """The call as clients see it in a review, and in detail for the reviewer."""
    from spindle.rpc.protocol.guardian import McpToolCallGuardianApprovalReviewAction

    name, title = shown(tool.get("name")), tool.get("title")
    return (
        McpToolCallGuardianApprovalReviewAction(server, name, tool_title=None if title is None else shown(title)),
        {
            "type": "mcp_tool_call",
            "server": server,
            "tool": name,
            "description": shown(tool.get("description") or ""),
            "annotations": tool.get("annotations"),
            "arguments": arguments,
        },
    )


def verdict(answer: McpServerElicitationRequestResponse | None, mode: ApprovalMode) -> CallVerdict:
    """The decision in an answer; None is an invalid answer."""
    if answer is None or answer.action == "decline":
        return CallVerdict(REJECTED)
    if answer.action == "cancel":
        return CallVerdict(CANCELLED)
    wanted: object = mapping(answer.meta).get("persist")
    if mode != "auto":
        return CallVerdict()
    return CallVerdict(persist="session" if wanted == "session" else "always" if wanted == "always" else None)


def _is_risky(annotations: Mapping[str, object]) -> bool:
    destructive = annotations.get("destructiveHint")
    if destructive is True:
        return True
    if annotations.get("readOnlyHint") is True:
        return False
    return destructive is not False or annotations.get("openWorldHint") is not False
