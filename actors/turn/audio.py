"""Audio of the user's input, as the model gets it. Forms and bounds are those of Codex 0.171."""

from __future__ import annotations

import base64
import errno
from pathlib import Path
from typing import Any, Final

from spindle.rpc.protocol.user_input import AudioInput
from spindle.storage.outside import Hidden, Readable, read_file

LARGEST: Final = 32 * 1024 * 1024
"""The largest audio file that is read, in bytes."""
UNSUPPORTED: Final = "audio content omitted because you do not support audio input"
NOT_INLINE: Final = "audio content omitted because it could not be processed"
_TYPES: Final = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".webm": "audio/webm",
    ".ogg": "audio/ogg",
}


def heard(part: AudioInput, *, supported: bool) -> dict[str, Any]:
    """Audio that a client sent, for a model that supports audio or does not."""
    if part.url is None:
        return {"type": "input_audio", "file_id": part.file_id} if supported else _text(UNSUPPORTED)
    if not part.url.startswith("data:"):
        return _text(NOT_INLINE)
    return {"type": "input_audio", "audio_url": part.url} if supported else _text(UNSUPPORTED)


def file_parts(path: str, number: int, readable: Readable | None, *, supported: bool) -> list[dict[str, Any]]:
    """An audio file, the input's audio `number`, between its marks; a note if it cannot be read. Blocks."""
    kind = _TYPES.get(Path(path).suffix.lower())
    if kind is None:
        return [_text(f"Spindle cannot attach audio at `{path}`: unsupported audio format; use wav, mp3, m4a, webm, or ogg.")]
    try:
        data = read_file(path, LARGEST, readable)
    except Hidden:
        return [_text(f"The sandbox does not let Spindle read the local audio at `{path}`")]
    except OSError as error:
        if error.errno == errno.EFBIG:
            return [_text(f"Spindle cannot attach audio at `{path}`: it is larger than {LARGEST} bytes.")]
        return [_text(f"Spindle could not read the local audio at `{path}`: {error.strerror or error}")]
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}" if supported else ""
    content = {"type": "input_audio", "audio_url": url} if supported else _text(UNSUPPORTED)
    return [_text(f"<audio name=[Audio #{number}]>"), content, _text("</audio>")]


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}
