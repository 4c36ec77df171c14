"""What a user says to the agent: text, images, sound, skills and mentions."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import PathName, Tagged, USize

ImageDetail: TypeAlias = Literal["auto", "low", "high", "original"]


@frozen
class ByteRange:
    """A half-open range, in bytes of the UTF-8 text."""

    start: USize
    end: USize


@frozen
class TextElement:
    """A part of a text input that the client displays specially, such as a mention."""

    byte_range: ByteRange
    placeholder: str | None = None


@frozen
class TextInput:
    """Text from the user."""

    type: Literal["text"] = field(default="text", init=False)
    text: str
    text_elements: Sequence[TextElement] = field(default=(), metadata={"wire": "text_elements"})


@frozen
class ImageInput:
    """An image by URL, `data:` URLs included, or from 0.171 by the id of a file that was uploaded to the provider."""

    type: Literal["image"] = field(default="image", init=False)
    url: str | None = field(default=None, metadata={"omit_none": True})
    file_id: str | None = field(default=None, kw_only=True, metadata={"omit_none": True})
    detail: ImageDetail | None = field(default=None, kw_only=True, metadata={"omit_none": True})


@frozen
class LocalImageInput:
    """An image file on the server's machine."""

    type: Literal["localImage"] = field(default="localImage", init=False)
    path: PathName
    detail: ImageDetail | None = field(default=None, kw_only=True, metadata={"omit_none": True})


@frozen
class AudioInput:
    """Audio by URL, or by the id of a file that was uploaded to the provider. From Codex 0.171."""

    type: Literal["audio"] = field(default="audio", init=False)
    url: str | None = field(default=None, metadata={"omit_none": True})
    file_id: str | None = field(default=None, kw_only=True, metadata={"omit_none": True})


@frozen
class LocalAudioInput:
    """An audio file on the server's machine. From Codex 0.171."""

    type: Literal["localAudio"] = field(default="localAudio", init=False)
    path: PathName


@frozen
class SkillInput:
    """A skill that the user named; the model receives its text."""

    type: Literal["skill"] = field(default="skill", init=False)
    name: str
    path: PathName


@frozen
class MentionInput:
    """An app, plugin or file that the user mentioned."""

    type: Literal["mention"] = field(default="mention", init=False)
    name: str
    path: str


UserInput: TypeAlias = Annotated[
    TextInput | ImageInput | LocalImageInput | AudioInput | LocalAudioInput | SkillInput | MentionInput,
    Tagged("UserInput"),
]
