"""Faults by name, to test what an application does about them. Each is a block: the fault lasts as long as it.

| fault | what an application sees |
| --- | --- |
| `disk_full`, `disk_broken` | `TurnFailed`: the thread's history could not be saved; the next turn works again |
| `slow_disk` | the turn ends later; what else the program does goes on |
| `model_unreachable` | `TurnFailed`, after the retries that the model allows |
| `kill_children` | commands end with signal 9, calls of MCP servers fail; the turn goes on |
| `lagging_reader` | `SubscriberLagged` from a stream that is not read |
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast
from unittest.mock import patch

from spindle.actors.delivery.events import Event
from spindle.actors.delivery.outbox import CAPACITY
from spindle.actors.tools.commands import warden
from spindle.rpc.model.model_errors import disconnected
from spindle.rpc.protocol.turns import WarningNotification
from spindle.storage.outside import place_of
from spindle.testing.insides import backend_of, sink_of

if TYPE_CHECKING:
    from spindle.actors.embedding.runtime import Runtime
    from spindle.actors.embedding.streams import Events
    from spindle.actors.embedding.turns import Turn
    from spindle.testing.played import PlayedModel

OF_DESCRIPTORS: Final = ("write", "pwrite", "pread", "preadv", "fsync", "fdatasync", "fstat", "ftruncate", "close", "fchmod")
"""The functions of `os` that take a descriptor and use the disk."""
OF_PATHS: Final = (
    "open", "stat", "lstat", "rename", "replace", "link", "unlink", "rmdir", "mkdir", "utime", "chmod", "listdir",
)  # fmt: skip
"""Those that take a path."""
SYNCS: Final = ("fsync", "fdatasync")
_WRITES: Final = ("write", "pwrite", "mkdir", "link", "fsync", "fdatasync")

Act = Callable[[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Called in place of a function of `os`: (its name, the function, its arguments)."""


@contextmanager
def disk_full(runtime: Runtime) -> Generator[None]:
    """No space is left for the files of the runtime's home."""
    with _failing(runtime, errno.ENOSPC):
        yield


@contextmanager
def disk_broken(runtime: Runtime) -> Generator[None]:
    """The files of the runtime's home cannot be written: input/output error."""
    with _failing(runtime, errno.EIO):
        yield


@contextmanager
def slow_disk(runtime: Runtime, seconds: float = 1.0) -> Generator[None]:
    """Each fsync of a file of the runtime's home takes so many seconds, in real time."""

    def act(name: str, real: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        time.sleep(seconds)  # only worker threads sync
        return real(*args, **named)

    with disk(runtime.home, act, SYNCS):
        yield


@contextmanager
def model_unreachable(model: PlayedModel) -> Generator[None]:
    """The provider of a model of this kit cannot be reached; requests before and after the block are answered."""
    model.fault = disconnected("error sending request for url (https://scripted.invalid/v1/responses): connection refused")
    try:
        yield
    finally:
        model.fault = None


def kill_children(runtime: Runtime) -> int:
    """Kill the runtime's commands and the servers that it has started, with SIGKILL. Returns how many processes.

    No block: it happens once.
    """
    wardens = backend_of(runtime).warden
    if wardens is None:
        return 0
    trees = wardens.trees()
    found = [pid for keeper in trees.commands | trees.others for pid in warden.descendants(keeper)]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def lagging_reader(reader: Events | Turn) -> None:
    """Put more events into the stream of `thread.events()`, or into a turn, than wait for a reader. No block: it happens once.

    Every reader of the turn then lags.
    """
    sink, event = sink_of(reader), Event(WarningNotification(None, "one of very many"))
    for _ in range(2 * CAPACITY):
        if not sink.put(event):
            return


@contextmanager
def disk(folder: str | os.PathLike[str], act: Act, names: tuple[str, ...] = OF_DESCRIPTORS + OF_PATHS) -> Generator[None]:
    """Call `act` in place of each of these functions of `os`, and of `open`, for what is in the folder.

    All that Spindle stores goes through them, except SQLite.
    """
    base = os.path.realpath(folder)

    def here(path: object) -> bool:
        named = isinstance(path, str | os.PathLike)
        return named and os.path.abspath(cast("str | os.PathLike[str]", path)).startswith(base)

    def open_here(number: object) -> bool:
        return isinstance(number, int) and _path(number).startswith(base)

    def acting(name: str, real: Callable[..., Any], concerned: Callable[[Any], bool]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if not concerned(args[0] if args else None) or "opener" in named:
                return real(*args, **named)
            return act(name, real, args, named)

        return call

    with ExitStack() as stack:
        for name in names:
            concerned = open_here if name in OF_DESCRIPTORS else here
            stack.enter_context(patch.object(os, name, acting(name, getattr(os, name), concerned)))
        if "open" in names:
            opened = acting("open", io.open, here)
            stack.enter_context(patch.object(io, "open", opened))
            stack.enter_context(patch.object(builtins, "open", opened))
        yield


@contextmanager
def _failing(runtime: Runtime, number: int) -> Generator[None]:
    def act(name: str, real: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        raise OSError(number, os.strerror(number))

    with disk(runtime.home, act, _WRITES):
        yield


def _path(number: int) -> str:
    """The path of a descriptor; "" if it cannot be found out."""
    try:
        return place_of(number)
    except (OSError, ValueError):
        return ""


__all__ = ["disk_broken", "disk_full", "kill_children", "lagging_reader", "model_unreachable", "slow_disk"]
