"""Images from files: only whole images are sent to the model; large ones are made smaller if possible."""

import base64
import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from spindle.actors.tools.images.files import LARGEST
from spindle.actors.tools.images.view_image import ViewImage
from spindle.actors.tools.interface import ToolRefused
from spindle.actors.turn.user_input import to_response_item
from spindle.rpc.protocol.user_input import LocalImageInput


def put(turn, name, data):
    path = Path(turn.cwd, name)
    path.write_bytes(data)
    return str(path)


async def view(turn, a_call, name):
    return await ViewImage().run(a_call("view_image", json.dumps({"path": name})), turn)


async def test_the_media_type_comes_from_the_content_and_not_from_the_name(a_turn, a_call, pictures):
    kinds = {"png": pictures.png(), "jpeg": pictures.jpeg(), "gif": pictures.gif(), "webp": pictures.webp(pictures.lossy)}
    turn = a_turn()
    for kind, data in kinds.items():
        put(turn, "picture.bmp", data)
        url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        assert await view(turn, a_call, "picture.bmp") == [{"type": "input_image", "image_url": url, "detail": "high"}]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("notes.md", b"words", "unsupported image `text/markdown`"),
        ("text.png", b"words", "unsupported image `image/png`"),
        ("data", b"", "unsupported image `application/octet-stream`"),
        ("bad.png", b"\x89PNG\r\n\x1a\n....", "failed to decode image: the file ends too early"),
        ("bad.jpg", b"\xff\xd8\xff\xe0\0\x02rubbish", "failed to decode image: a marker is missing"),
    ],
)
async def test_a_file_that_is_no_image_or_damaged_is_refused_or_noted(a_turn, a_call, name, data, reason):
    turn = a_turn()
    path = put(turn, name, data)
    with pytest.raises(ToolRefused) as refused:
        await view(turn, a_call, name)
    assert str(refused.value) == f"unable to process image at `{path}`: {reason}"
    assert not turn.events
    note = f"Spindle cannot attach the image at `{path}`: {reason}."
    assert (await to_response_item([LocalImageInput(path)]))["content"] == [{"type": "input_text", "text": note}]


async def test_only_regular_files_of_bounded_size_are_read(a_turn, a_call):
    turn = a_turn()
    os.mkfifo(Path(turn.cwd, "pipe"))
    os.truncate(put(turn, "large", b""), LARGEST + 1)
    for name, reason in ((".", "is not a file"), ("pipe", "is not a file"), ("large", f"is larger than {LARGEST} bytes")):
        path = str(Path(turn.cwd, name))
        with pytest.raises(ToolRefused) as refused:
            await view(turn, a_call, name)
        assert str(refused.value) == f"image path `{path}` {reason}"
        [note] = (await to_response_item([LocalImageInput(path)]))["content"]
        assert note["text"] == f"Spindle cannot attach the image at `{path}`: it {reason}."


async def test_without_pillow_a_large_image_is_sent_as_it_is(a_turn, a_call, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    turn = a_turn()
    data = pictures.png(3000, 10)
    put(turn, "large.png", data)
    [shown] = await view(turn, a_call, "large.png")
    assert shown["image_url"] == f"data:image/png;base64,{base64.b64encode(data).decode()}"


async def test_a_large_image_is_made_smaller(a_turn, a_call, pictures):
    image = pytest.importorskip("PIL.Image")

    def written(form, size, mode="RGB", **more):
        data = io.BytesIO()
        image.new(mode, size).save(data, form, **more)
        return data.getvalue()

    exif = image.Exif()
    exif[0x0112] = 6  # lies on its side
    cases = [
        (pictures.png(3000, 1000), "png", (2048, 683)),
        (written("PNG", (100, 3000), "P"), "png", (68, 2048)),
        (written("JPEG", (4096, 16)), "jpeg", (2048, 8)),
        (written("JPEG", (4096, 16), exif=exif), "jpeg", (8, 2048)),
        (written("WEBP", (3000, 300)), "webp", (2048, 205)),
        (written("GIF", (3000, 300)), "png", (2048, 205)),
        (written("PNG", (2048, 2048)), "png", (2048, 2048)),
    ]
    turn = a_turn()
    for data, kind, size in cases:
        put(turn, "picture", data)
        [shown] = await view(turn, a_call, "picture")
        head, _, encoded = shown["image_url"].partition(",")
        assert head == f"data:image/{kind};base64"
        with import_module("PIL.Image").open(io.BytesIO(base64.b64decode(encoded))) as made:
            assert made.size == size
            made.load()


async def test_an_image_that_cannot_be_made_smaller_is_sent_as_it_is(a_turn, a_call, pictures):
    pytest.importorskip("PIL.Image")
    turn = a_turn()
    data = pictures.jpeg(4000, 4000)  # no picture that could be decoded
    put(turn, "picture.jpg", data)
    [shown] = await view(turn, a_call, "picture.jpg")
    assert shown["image_url"].endswith(base64.b64encode(data).decode())
