"""Dynamic tools."""

from spindle.actors.tools.dynamic import recorded_tools, shown, to_record
from spindle.rpc.protocol.approvals import DynamicToolCallResponse
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.settings import DynamicToolSpec


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
    newer = {"type": "namespace", "name": "later", "description": "", "tools": [{"type": "function", **flat}]}
    tools = recorded_tools({"dynamic_tools": [flat, older, newer, flat, "odd", {"type": "unheard-of"}, {"name": ""}]})
    assert [(tool.namespace, tool.name) for tool in tools] == [(None, "look"), ("space", "look"), ("later", "look")]
    assert to_record(tools)[:2] == [flat, older]
    assert recorded_tools({"dynamic_tools": to_record(tools)}) == tools
    assert recorded_tools({}) == recorded_tools({"dynamic_tools": 5}) == []
