"""A patch while the model still writes it: what it would change so far, as `item/fileChange/patchUpdated`.

Nothing is read from disk: paths are as the patch names them, and the diff of an update is the text of the patch.
Only whole lines count, so a half-written path is never shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from attrs import define, field

from spindle.actors.tools.interface import Notifier
from spindle.actors.tools.patch.answers import NAME
from spindle.actors.tools.patch.parse import ADD, BEGIN, DELETE, END, END_OF_FILE, MOVE, UPDATE
from spindle.rpc.model.interface import InputDelta, ItemAdded, ItemDone, ModelEvent
from spindle.rpc.protocol.items import (
    AddChange,
    DeleteChange,
    FileUpdateChange,
    PatchChangeKind,
    UpdateChange,
)
from spindle.rpc.protocol.turns import FileChangePatchUpdatedNotification

INTERVAL = 0.5
"""Seconds between two notifications; the first one is sent at once."""


@define
class _Hunk:
    """One file of the patch, as far as it is written."""

    path: str
    kind: PatchChangeKind
    lines: list[str] = field(factory=list[str])

    def change(self) -> FileUpdateChange:
        """The hunk as clients see it."""
        move = self.kind.move_path if isinstance(self.kind, UpdateChange) else None
        suffix = f"\n\nMoved to: {move}" if move else ""
        return FileUpdateChange(self.path, self.kind, "".join(self.lines) + suffix)


@define
class PatchStream:
    """Takes the text of a patch piece by piece. Times are seconds of one monotonic clock."""

    _rest: str = ""
    _hunks: list[_Hunk] = field(factory=list[_Hunk], init=False)
    _begun: bool = False
    _over: bool = False
    _fresh: bool = False
    _last: float | None = None

    def feed(self, piece: str, now: float) -> tuple[FileUpdateChange, ...] | None:
        """Take a piece; returns the changes so far, sorted by path, if they are due."""
        *lines, self._rest = (self._rest + piece).split("\n") if "\n" in piece else (self._rest + piece,)
        for line in lines:
            if not self._over:
                self._take(line.removesuffix("\r"))
        if not self._fresh or (self._last is not None and now - self._last < INTERVAL):
            return None
        self._last = now
        return self._changes()

    def finish(self) -> tuple[FileUpdateChange, ...] | None:
        """The text is complete; returns the changes if some were not returned yet."""
        return self._changes() if self._fresh else None

    def _changes(self) -> tuple[FileUpdateChange, ...]:
        self._fresh = False
        return tuple(sorted((hunk.change() for hunk in self._hunks), key=lambda change: change.path))

    def _take(self, line: str) -> None:
        marker = line.strip()
        if not self._begun:
            self._begun = marker == BEGIN
            self._over = bool(marker) and not self._begun and not marker.startswith("<<")
            return
        hunk = self._hunks[-1] if self._hunks else None
        if hunk is not None and self._inside(hunk, line, marker):
            self._fresh = True
            return
        match marker:
            case _ if marker == END:
                self._over = True
            case _ if marker.startswith(ADD):
                self._open(marker.removeprefix(ADD), AddChange())
            case _ if marker.startswith(DELETE):
                self._open(marker.removeprefix(DELETE), DeleteChange())
            case _ if marker.startswith(UPDATE):
                self._open(marker.removeprefix(UPDATE), UpdateChange())
            case _:
                self._over = bool(marker)  # not a patch; the error is reported when it is complete

    def _open(self, path: str, kind: PatchChangeKind) -> None:
        self._hunks.append(_Hunk(path, kind))
        self._fresh = True

    def _inside(self, hunk: _Hunk, line: str, marker: str) -> bool:
        """Add the line to the hunk; False if it does not belong to it."""
        if isinstance(hunk.kind, AddChange):
            if line.startswith("+"):
                hunk.lines.append(f"{line[1:]}\n")
            return line.startswith("+")
        if not isinstance(hunk.kind, UpdateChange):
            return False
        if not hunk.lines and marker.startswith(MOVE):
            hunk.kind = UpdateChange(marker.removeprefix(MOVE))
            return True
        if line[:1] not in ("+", "-", " ", "@", "") and marker != END_OF_FILE:
            return False
        if not hunk.lines and not line.startswith("@"):
            hunk.lines.append("@@\n")
        hunk.lines.append(f"{line or ' '}\n")
        return True


class PatchProgress:
    """Takes the events of one answer of the model; ignores those of other calls."""

    def __init__(self, host: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._host, self._clock = host, clock
        self._writing: tuple[str, PatchStream] | None = None

    def feed(self, event: ModelEvent) -> None:
        """Take one event."""
        match event:
            case ItemAdded(item={"type": "custom_tool_call", "name": name, "call_id": str(call_id)}) if name == NAME:
                self._writing = (call_id, PatchStream())
            case InputDelta(delta=delta) if self._writing is not None:
                call_id, stream = self._writing
                self._notify(call_id, stream.feed(delta, self._clock()))
            case ItemDone() if self._writing is not None:
                call_id, stream = self._writing
                self._writing = None
                self._notify(call_id, stream.finish())
            case _:
                pass

    def _notify(self, call_id: str, changes: Sequence[FileUpdateChange] | None) -> None:
        if changes is not None:
            host = self._host
            host.emit(FileChangePatchUpdatedNotification(host.thread_id, host.turn_id, call_id, changes))
