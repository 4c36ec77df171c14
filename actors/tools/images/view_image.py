"""view_image: show an image file to the model."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import trio

from spindle.actors.tools.images.files import NotAFile, NotAnImage, data_url
from spindle.actors.tools.interface import Call, Output, ToolHost, ToolRefused, function
from spindle.actors.tools.notifications import emit_completed, emit_started
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.actors.tools.sandbox.profile import ProfileError
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.items import ImageViewItem
from spindle.rpc.protocol.shapes import PathName
from spindle.storage.outside import Hidden, Readable
from spindle.storage.rollout import records

Reading: TypeAlias = Callable[[ToolHost], Confinement | None]
"""Returns the confinement that decides what may be read; None for every file. Blocks. Raises ProfileError."""


@frozen
class _Image:
    path: PathName


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

    def __init__(self, reading: Reading | None = None) -> None:
        """`reading` None: every file may be read."""
        self._reading = reading

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Read the file in a worker thread. Raises ToolRefused."""
        path = absolute(host.cwd, call.arguments(_Image).path)
        url = await trio.to_thread.run_sync(self._read, path, host, abandon_on_cancel=True)
        item = ImageViewItem(id=call.id, path=str(path))
        emit_started(host, item)
        host.record(records.view_image_tool_call(call.id, str(path)))
        emit_completed(host, item)
        return [{"type": "input_image", "image_url": url, "detail": "high"}]

    def _read(self, path: Path, host: ToolHost) -> str:
        return _read(path, _readable(host, self._reading))


def check_readable(path: Path, host: ToolHost, reading: Reading | None) -> None:
    """Raise ToolRefused if the turn may not read the image. Blocks."""
    readable = _readable(host, reading)
    if readable is not None and not readable(os.path.realpath(path)):
        raise _hidden(path)


def _readable(host: ToolHost, reading: Reading | None) -> Readable | None:
    try:
        confinement = reading(host) if reading is not None else None
    except ProfileError as error:
        raise ToolRefused(str(error)) from None
    return None if confinement is None else confinement.readable


def _hidden(path: Path) -> ToolRefused:
    return ToolRefused(f"unable to locate image at `{path}`: the sandbox does not let it be read")


def absolute(cwd: str, path: str) -> Path:
    """The path, absolute; relative paths start from `cwd`."""
    return Path(os.path.normpath(os.path.join(cwd, path)))


def _read(path: Path, readable: Readable | None) -> str:
    try:
        return data_url(path, readable)
    except Hidden:
        raise _hidden(path) from None
    except NotAFile as error:
        raise ToolRefused(f"image path `{path}` {str(error).removeprefix('it ')}") from None
    except NotAnImage as error:
        raise ToolRefused(f"unable to process image at `{path}`: {error}") from None
    except OSError as error:
        raise ToolRefused(f"unable to locate image at `{path}`: {error.strerror} (os error {error.errno})") from error
