"""Parts of an input that came after 0.124: audio, files of the provider, and the detail of images."""

import base64
from typing import Any

import pytest

from spindle.actors.turn.user_input import to_response_item, user_message_event
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.user_input import AudioInput, ImageInput, LocalAudioInput, LocalImageInput, TextInput
from spindle.storage.rollout.items import user_message
from spindle.storage.rollout.shown import shown_item

UNSUPPORTED = {"type": "input_text", "text": "audio content omitted because you do not support audio input"}
WAV = "data:audio/wav;base64," + base64.b64encode(b"RIFF").decode()


async def content(*parts, modalities=("text", "audio")):
    """The parts of the message for the model."""
    return (await to_response_item(parts, None, modalities))["content"]


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (AudioInput(WAV), {"type": "input_audio", "audio_url": WAV}),
        (AudioInput(file_id="f"), {"type": "input_audio", "file_id": "f"}),
        (
            AudioInput("https://example.com/a.wav"),
            {"type": "input_text", "text": "audio content omitted because it could not be processed"},
        ),
    ],
)
async def test_audio(part, sent):
    assert await content(part) == [sent]
    if sent["type"] == "input_audio":
        assert await content(part, modalities=("text", "image")) == [UNSUPPORTED]


async def test_an_audio_file(tmp_path):
    path = tmp_path / "a.WAV"
    path.write_bytes(b"RIFF")
    _, begin, heard, end = await content(TextInput("listen"), LocalAudioInput(str(path)))
    assert begin["text"] == "<audio name=[Audio #1]>"
    assert heard == {"type": "input_audio", "audio_url": WAV}
    assert end["text"] == "</audio>"
    assert (await content(LocalAudioInput(str(path)), modalities=()))[1] == UNSUPPORTED


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("a.txt", "cannot attach audio at `{}`: unsupported audio format; use wav, mp3, m4a, webm, or ogg."),
        ("missing.mp3", "could not read the local audio at `{}`: No such file or directory"),
    ],
)
async def test_an_audio_file_that_cannot_be_sent_is_a_note(tmp_path, name, note):
    path = str(tmp_path / name)
    assert await content(LocalAudioInput(path)) == [{"type": "input_text", "text": "Spindle " + note.format(path)}]


async def test_an_image_by_file_or_with_a_detail():
    _, by_file, _ = await content(ImageInput(file_id="f"))
    assert by_file == {"type": "input_image", "file_id": "f", "detail": "high"}
    details: Any = (("low", "low"), ("auto", "auto"), ("original", "high"), (None, "high"))
    for detail, sent in details:
        _, image, _ = await content(ImageInput("data:,", detail=detail))
        assert image["detail"] == sent


@pytest.mark.parametrize(
    "parts",
    [
        [TextInput("a"), AudioInput(WAV), TextInput("b")],
        [AudioInput(file_id="f")],
        [LocalAudioInput("/a.wav")],
        [ImageInput(file_id="f", detail="low")],
        [LocalImageInput("/a.png", detail="original"), TextInput("a")],
    ],
)
def test_a_stored_input_is_shown_as_it_was_sent(parts):
    _, event = user_message_event(parts)
    shown = shown_item({**user_message(event), "id": "item-1"})
    assert shown is not None
    assert shown["content"] == [unstructure(part) for part in parts]


def test_an_input_of_old_parts_is_stored_as_before():
    _, event = user_message_event([TextInput("a"), ImageInput("data:,"), LocalImageInput("/a.png")])
    assert "content" not in event
