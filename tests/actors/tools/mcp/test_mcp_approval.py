"""When the user is asked before a call, the request, and the answers. The table is the behaviour of Codex 0.124."""

from typing import Any

import pytest

from spindle.actors.tools.mcp.approval import CallVerdict, asks, may_elicit, question, verdict
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.mcp import McpServerElicitationRequestResponse
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    GranularApproval,
    GranularSettings,
    ReadOnlyPolicy,
    WorkspaceWritePolicy,
)

ANNOTATIONS: list[tuple[Any, bool]] = [
    (None, True),
    ({}, True),
    ([], True),
    ({"readOnlyHint": True}, False),
    ({"readOnlyHint": True, "openWorldHint": True}, False),
    ({"readOnlyHint": True, "destructiveHint": True}, True),
    ({"readOnlyHint": False, "destructiveHint": True}, True),
    ({"readOnlyHint": False}, True),
    ({"destructiveHint": False}, True),
    ({"destructiveHint": False, "openWorldHint": False}, False),
    ({"readOnlyHint": False, "destructiveHint": False, "openWorldHint": True}, True),
    ({"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False}, False),
]


def granular(elicitations):
    return GranularApproval(GranularSettings(sandbox_approval=True, rules=True, mcp_elicitations=elicitations))


@pytest.mark.parametrize(("annotations", "asked"), ANNOTATIONS)
@pytest.mark.parametrize(
    ("policy", "sandbox"),
    [
        ("on-request", ReadOnlyPolicy()),
        ("untrusted", ReadOnlyPolicy()),
        ("on-failure", WorkspaceWritePolicy()),
        ("never", ReadOnlyPolicy()),
        ("on-request", DangerFullAccessPolicy()),
        (granular(False), ReadOnlyPolicy()),
    ],
)
def test_the_annotations_of_a_tool_decide(annotations, asked, policy, sandbox):
    assert asks(annotations, "auto", policy, sandbox) is asked
    assert asks(annotations, "prompt", policy, sandbox) is True
    assert asks(annotations, "approve", policy, sandbox) is False


@pytest.mark.parametrize("mode", ["auto", "prompt", "approve"])
def test_never_with_full_access_does_not_ask(mode):
    assert asks({"destructiveHint": True}, mode, "never", DangerFullAccessPolicy()) is False


@pytest.mark.parametrize(
    ("policy", "may"),
    [("never", False), ("on-request", True), ("untrusted", True), (granular(False), False), (granular(True), True)],
)
def test_which_policies_allow_elicitations(policy, may):
    assert may_elicit(policy) is may


def test_the_question():
    tool = {"name": "write", "title": "Writer", "description": "does write"}
    asked = question("thread", "turn", "tiny", tool, {"text": "x", "k": {"a": 1}}, "auto")
    assert unstructure(asked) == {
        "threadId": "thread",
        "turnId": "turn",
        "serverName": "tiny",
        "mode": "form",
        "_meta": {
            "codex_approval_kind": "mcp_tool_call",
            "persist": ["session", "always"],
            "tool_title": "Writer",
            "tool_description": "does write",
            "tool_params": {"text": "x", "k": {"a": 1}},
            "tool_params_display": [
                {"name": "k", "value": {"a": 1}, "display_name": "k"},
                {"name": "text", "value": "x", "display_name": "text"},
            ],
        },
        "message": 'Allow the tiny MCP server to run tool "write"?',
        "requestedSchema": {"type": "object", "properties": {}},
    }
    assert unstructure(question("t", "u", "tiny", {"name": "w"}, None, "prompt"))["_meta"] == {
        "codex_approval_kind": "mcp_tool_call"
    }


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (None, CallVerdict("user rejected MCP tool call")),
        (("decline",), CallVerdict("user rejected MCP tool call")),
        (("cancel",), CallVerdict("user cancelled MCP tool call")),
        (("accept",), CallVerdict()),
        (("accept", {}, {"persist": "session"}), CallVerdict(persist="session")),
        (("accept", {}, {"persist": "always"}), CallVerdict(persist="always")),
        (("accept", {}, {"persist": "bogus"}), CallVerdict()),
        (("accept", {}, [1]), CallVerdict()),
        (("decline", {}, {"persist": "session"}), CallVerdict("user rejected MCP tool call")),
    ],
)
def test_answers(answer, means):
    given = None if answer is None else McpServerElicitationRequestResponse(*answer)
    assert verdict(given, "auto") == means


def test_mode_prompt_is_not_remembered():
    assert verdict(McpServerElicitationRequestResponse("accept", {}, {"persist": "session"}), "prompt") == CallVerdict()
