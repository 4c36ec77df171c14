"""view_image: shows the model an image file."""

import base64
import mimetypes
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio
from attrs import frozen

from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused, function
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.actors.tools.sandbox.profile import ProfileError
from spindle.rpc.protocol.items import ImageViewItem
from spindle.rpc.protocol.turns import ItemCompletedNotification, ItemStartedNotification

LARGEST = 32 * 1024 * 1024
"""Bytes of an image file that is still read."""

_MARKS: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
)
"""What models look at: where in the file its mark is, the mark, and the media type. Providers refuse a conversation that
holds anything else, now and in every later request."""


@frozen
class _Image:
    path: str


class ViewImage:
    """The tool."""

    name = "view_image"
    namespace = None
    offer = function(
        name,
        "Looks at an image file on this machine. Only for a file that the user named and that is not in the conversation "
        "already.",
        {"path": {"type": "string", "description": "The file's path."}},
        ["path"],
    )

    def __init__(self, profiled: Callable[[ToolHost], Confinement | None] | None = None) -> None:
        """`profiled` tells what a permission profile allows; without one every file may be read."""
        self._profiled = profiled

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Read the file in a worker thread."""
        path = _absolute(host.cwd, call.arguments(_Image).path)
        url = await trio.to_thread.run_sync(self._read, path, host, abandon_on_cancel=True)
        item = ImageViewItem(id=call.id, path=str(path))
        now = time.time_ns() // 1_000_000
        host.emit(ItemStartedNotification(item, host.thread_id, host.turn_id, now))
        host.record(("event_msg", {"type": "view_image_tool_call", "call_id": call.id, "path": str(path)}))
        host.emit(ItemCompletedNotification(item, host.thread_id, host.turn_id, now))
        return [{"type": "input_image", "image_url": url, "detail": "high"}]

    def _read(self, path: Path, host: ToolHost) -> str:
        try:
            confinement = self._profiled(host) if self._profiled is not None else None
        except ProfileError as error:
            raise ToolRefused(str(error)) from None
        if confinement is not None and confinement.access(os.path.realpath(path)) == "none":
            raise ToolRefused(f"unable to locate image at `{path}`: the permission profile does not let it be read")
        return _read(path)


def _absolute(cwd: str, path: str) -> Path:
    return Path(os.path.normpath(os.path.join(cwd, path)))


def _read(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ToolRefused(f"image path `{path}` is not a file")
        if status.st_size > LARGEST:
            raise ToolRefused(f"image at `{path}` is larger than {LARGEST} bytes")
        return data_url(path)
    except NotAnImage as error:
        raise ToolRefused(f"unable to process image at `{path}`: {error}") from None
    except OSError as error:
        raise ToolRefused(f"unable to locate image at `{path}`: {error.strerror} (os error {error.errno})") from error


class NotAnImage(Exception):
    """The file is none that models can look at; the message says what it seems to be."""


def data_url(path: Path) -> str:
    """The file as a data URL of the type that its first bytes tell. Blocking; raises OSError, NotAnImage."""
    data = path.read_bytes()
    for at, mark, kind in _MARKS:
        if data.startswith(mark, at):
            return f"data:{kind};base64,{base64.b64encode(data).decode()}"
    raise NotAnImage(f"unsupported image `{mimetypes.guess_type(path.name)[0] or 'application/octet-stream'}`")
