"""Dynamic tools."""

from collections.abc import Sequence
from typing import Any

import pytest

from spindle.actors.tools.dynamic import check_dynamic_tools, each, recorded_tools, shown, to_record
from spindle.actors.turn.toolbox import Toolbox
from spindle.rpc.protocol.approvals import DynamicToolCallResponse
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.settings import DynamicTools, DynamicToolSpec


async def test_an_image_is_shown_to_the_model_in_detail(a_turn, a_call):
    spec = structure({"name": "see", "description": "", "inputSchema": {}}, DynamicToolSpec)
    parts = [{"type": "inputText", "text": "this"}, {"type": "inputImage", "imageUrl": "data:image/png;base64,AAAA"}]

    async def answering(arguments):
        return structure({"contentItems": parts, "success": True}, DynamicToolCallResponse)

    assert await shown(spec, a_call("see", "{}"), a_turn(), answering) == [
        {"type": "input_text", "text": "this"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "high"},
    ]


def test_recorded_tools_are_read_in_the_forms_of_all_versions():
    flat = {"name": "look", "description": "d", "inputSchema": {"type": "object"}, "deferLoading": False}
    older = {"namespace": "space", **flat}
    newer = {"type": "namespace", "name": "later", "description": "those", "tools": [{"type": "function", **flat}]}
    tools = recorded_tools({"dynamic_tools": [flat, older, newer, flat, "odd", {"type": "unheard-of"}, {"name": ""}]})
    assert [(tool.namespace, tool.name) for tool in tools] == [(None, "look"), ("space", "look"), ("later", "look")]
    assert to_record(tools) == [flat, older, flat | {"namespace": "later", "namespaceDescription": "those"}]
    assert recorded_tools({"dynamic_tools": to_record(tools)}) == tools
    assert recorded_tools({}) == recorded_tools({"dynamic_tools": 5}) == []


TOOLS: Any = Sequence[DynamicTools]
FUNCTION = {"type": "function", "name": "see", "description": "", "inputSchema": {}}
SPACE = {"type": "namespace", "name": "eyes", "description": "To see.", "tools": [FUNCTION]}


@pytest.mark.parametrize(
    ("tools", "refusal"),
    [
        ([SPACE | {"name": "my eyes"}], r"namespace must match \^\[a-zA-Z0-9_-\]\+\$ to match Responses API: my eyes"),
        ([SPACE, SPACE], "duplicate dynamic tool namespace: eyes"),
        ([SPACE | {"tools": []}], "dynamic tool namespace must contain at least one tool: eyes"),
        ([SPACE | {"description": "x" * 1025}], "dynamic tool namespace description must be at most 1024 characters"),
        ([SPACE | {"tools": [FUNCTION, FUNCTION]}], "duplicate dynamic tool name: see"),
    ],
)
def test_namespaces_that_are_refused(tools, refusal):
    with pytest.raises(RpcError, match=refusal):
        check_dynamic_tools(structure(tools, TOOLS))


def test_a_namespace_is_offered_with_its_description():
    blank = SPACE | {"name": "blank", "description": " "}
    offers = Toolbox(each(structure([SPACE, FUNCTION, blank], TOOLS))).offers
    assert [(offer["type"], offer["name"], offer["description"]) for offer in offers] == [
        ("namespace", "eyes", "To see."),
        ("function", "see", ""),
        ("namespace", "blank", "Tools in the namespace blank."),
    ]
    assert [tool["name"] for tool in offers[0]["tools"]] == ["see"]
