"""Images from files: only what is one is shown to the model."""

import base64
import json
from pathlib import Path

import pytest

from spindle.actors.tools.images import ViewImage
from spindle.actors.tools.interface import ToolRefused
from spindle.actors.turn.user_input import to_response_item
from spindle.rpc.protocol.items import LocalImageInput

IMAGES = {
    "image/png": b"\x89PNG\r\n\x1a\n...",
    "image/jpeg": b"\xff\xd8\xff\xe0...",
    "image/gif": b"GIF89a...",
    "image/webp": b"RIFF....WEBPVP8 ",
}


def put(turn, name, data):
    path = Path(turn.cwd, name)
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("kind", IMAGES)
async def test_what_an_image_is_shows_in_its_first_bytes(a_turn, a_call, kind):
    turn = a_turn()
    put(turn, "picture.bmp", IMAGES[kind])
    url = f"data:{kind};base64,{base64.b64encode(IMAGES[kind]).decode()}"
    shown = await ViewImage().run(a_call("view_image", json.dumps({"path": "picture.bmp"})), turn)
    assert shown == [{"type": "input_image", "image_url": url, "detail": "high"}]


@pytest.mark.parametrize(
    ("name", "seems"), [("notes.md", "text/markdown"), ("text.png", "image/png"), ("data", "application/octet-stream")]
)
async def test_what_is_no_image_is_refused_or_noted(a_turn, a_call, name, seems):
    turn = a_turn()
    path = put(turn, name, b"words")
    with pytest.raises(ToolRefused, match=f"^unable to process image at `{path}`: unsupported image `{seems}`$"):
        await ViewImage().run(a_call("view_image", json.dumps({"path": name})), turn)
    assert not turn.events
    note = f"Spindle cannot attach the image at `{path}`: unsupported image `{seems}`."
    assert (await to_response_item([LocalImageInput(path)]))["content"] == [{"type": "input_text", "text": note}]
