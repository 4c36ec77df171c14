"""Dynamic tools."""

from spindle.actors.tools.dynamic import shown
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
