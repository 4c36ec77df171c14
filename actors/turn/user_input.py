"""User input: the client's parts as the model's message, and as the rollout's `user_message` event."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from spindle.actors.tools.images.files import NotAnImage, data_url
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, invalid_request
from spindle.rpc.protocol.user_input import (
    AudioInput,
    ImageDetail,
    ImageInput,
    LocalAudioInput,
    LocalImageInput,
    TextInput,
    UserInput,
)
from spindle.storage.outside import Hidden, Readable
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

MAX_CHARS = 1 << 20
"""Characters of text that one input may have."""
MAX_CLIENT_ID = 256
"""Characters that a client's id of a message may have."""


def check_input(content: Sequence[UserInput], client_id: str | None = None) -> None:
    """Raise RpcError for input that is empty or too long (-32602 with `input_too_large`, counted in characters), and for
    too long a `client_id`."""
    if client_id is not None and len(client_id) > MAX_CLIENT_ID:
        raise invalid_request(f"clientUserMessageId must have at most {MAX_CLIENT_ID} characters")
    if not content:
        raise invalid_request("input must not be empty")
    for part in content:
        if isinstance(part, ImageInput | AudioInput) and part.url is None and part.file_id is None:
            kind = "ImageReference" if isinstance(part, ImageInput) else "AudioReference"
            raise invalid_request(f"Invalid request: data did not match any variant of untagged enum {kind}")
    chars = sum(len(part.text) for part in content if isinstance(part, TextInput))
    if chars > MAX_CHARS:
        raise RpcError(
            INVALID_PARAMS,
            f"Input exceeds the maximum length of {MAX_CHARS} characters.",
            {"input_error_code": "input_too_large", "max_chars": MAX_CHARS, "actual_chars": chars},
        )


async def to_response_item(
    content: Sequence[UserInput], readable: Readable | None = None, modalities: Sequence[str] = ()
) -> dict[str, Any]:
    """The message for a model with these input modalities. Local files are read in a worker thread; one that cannot be read,
    or is not `readable`, becomes a note. So does audio for a model that does not support it."""
    parts: list[dict[str, Any]] = []
    images = audios = 0
    for part in content:
        match part:
            case TextInput():
                parts.append(_text(part.text))
            case ImageInput():
                images += 1
                parts += [_text("<image>"), _image(part.detail, part.url, part.file_id), _text("</image>")]
            case LocalImageInput():
                images += 1
                try:
                    url = await trio.to_thread.run_sync(data_url, Path(part.path), readable, abandon_on_cancel=True)
                except Hidden:
                    parts.append(_text(f"The sandbox does not let Spindle read the local image at `{part.path}`"))
                except OSError as exc:
                    parts.append(
                        _text(f"Spindle could not read the local image at `{part.path}`: {exc.strerror or exc}")
                    )
                except NotAnImage as exc:
                    parts.append(_text(f"Spindle cannot attach the image at `{part.path}`: {exc}."))
                else:
                    parts += [_text(f"<image name=[Image #{images}]>"), _image(part.detail, url), _text("</image>")]
            case AudioInput() | LocalAudioInput():
                from spindle.actors.turn.audio import file_parts, heard

                supported = "audio" in modalities
                if isinstance(part, AudioInput):
                    parts.append(heard(part, supported=supported))
                    continue
                audios += 1
                read = partial(file_parts, part.path, audios, readable, supported=supported)
                parts += await trio.to_thread.run_sync(read, abandon_on_cancel=True)
            case _:
                pass  # skills and mentions reach the model in other ways
    return {"type": "message", "role": "user", "content": parts}


def user_message_event(content: Sequence[UserInput], client_id: str | None = None) -> Entry:
    """The `user_message` record: the texts joined, with the byte ranges of elements moved."""
    text, elements = "", list[dict[str, Any]]()
    for part in content:
        if isinstance(part, TextInput):
            offset = len(text.encode("utf-8", "surrogatepass")) if part.text_elements else 0
            elements += [
                {
                    "byte_range": {"start": e.byte_range.start + offset, "end": e.byte_range.end + offset},
                    "placeholder": e.placeholder,
                }
                for e in part.text_elements
            ]
            text += part.text
    images = [part.url for part in content if isinstance(part, ImageInput) and part.url is not None]
    local_images = [part.path for part in content if isinstance(part, LocalImageInput)]
    whole = [_stored(part) for part in content] if any(map(_is_newer, content)) else None
    return records.user_message(text, images, local_images, elements, client_id, whole)


def _is_newer(part: UserInput) -> bool:
    """Whether the members of the record that 0.124 knows cannot hold the part."""
    match part:
        case AudioInput() | LocalAudioInput():
            return True
        case ImageInput():
            return part.file_id is not None or part.detail is not None
        case LocalImageInput():
            return part.detail is not None
        case _:
            return False


_STORED_NAMES = {"type": "type", "url": "image_url", "fileId": "file_id"}
_STORED_TYPES = {"localImage": "local_image", "localAudio": "local_audio"}


def _stored(part: UserInput) -> dict[str, Any]:
    """The part in the form of Codex 0.171's rollouts."""
    shown: dict[str, Any] = unstructure(part)
    stored = {_STORED_NAMES.get(name, name): value for name, value in shown.items()}
    if isinstance(part, AudioInput) and "image_url" in stored:
        stored["audio_url"] = stored.pop("image_url")
    return stored | {"type": _STORED_TYPES.get(part.type, part.type)}


def preview_of(content: Sequence[UserInput]) -> str:
    """A thread's preview: the text of its first input."""
    return "".join(part.text for part in content if isinstance(part, TextInput)).strip()


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _image(detail: ImageDetail | None, url: str | None, file_id: str | None = None) -> dict[str, Any]:
    source = {"file_id": file_id} if url is None else {"image_url": url}
    return {"type": "input_image", **source, "detail": "high" if detail in (None, "original") else detail}
