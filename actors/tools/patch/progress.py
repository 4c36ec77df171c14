"""A patch that is still being written, told to the clients as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from spindle.actors.tools.patch.stream import PatchStream
from spindle.actors.tools.patch.tool import NAME
from spindle.rpc.model.interface import InputDelta, ItemAdded, ItemDone, ModelEvent
from spindle.rpc.protocol.items import FileUpdateChange
from spindle.rpc.protocol.turns import FileChangePatchUpdatedNotification


class Hearers(Protocol):
    """Who is told."""

    @property
    def thread_id(self) -> str: ...

    @property
    def turn_id(self) -> str: ...

    def emit(self, params: object) -> None:
        """Send a notification to the thread's subscribers."""


class PatchProgress:
    """Feed it the events of one answer; those of other calls are passed over."""

    def __init__(self, host: Hearers, clock: Callable[[], float] = time.monotonic) -> None:
        self._host, self._clock = host, clock
        self._writing: tuple[str, PatchStream] | None = None

    def feed(self, event: ModelEvent) -> None:
        """Take in one event."""
        match event:
            case ItemAdded(item={"type": "custom_tool_call", "name": name, "call_id": str(call_id)}) if name == NAME:
                self._writing = (call_id, PatchStream())
            case InputDelta(delta=delta) if self._writing is not None:
                call_id, stream = self._writing
                self._tell(call_id, stream.feed(delta, self._clock()))
            case ItemDone() if self._writing is not None:
                call_id, stream = self._writing
                self._writing = None
                self._tell(call_id, stream.finish())
            case _:
                pass

    def _tell(self, call_id: str, changes: Sequence[FileUpdateChange] | None) -> None:
        if changes is not None:
            host = self._host
            host.emit(FileChangePatchUpdatedNotification(host.thread_id, host.turn_id, call_id, changes))
