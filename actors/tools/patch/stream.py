"""A patch while the model is still writing it: what it would change so far, for `item/fileChange/patchUpdated`.

Nothing is read from disk: paths are as the patch names them, and the diff of an update is what the patch says itself.
Only whole lines count, so that no half-written path is shown.
"""

from __future__ import annotations

from attrs import define, field

from spindle.actors.tools.patch.parse import ADD, BEGIN, DELETE, END, END_OF_FILE, MOVE, UPDATE
from spindle.rpc.protocol.items import AddChange, DeleteChange, FileUpdateChange, PatchChangeKind, UpdateChange

INTERVAL = 0.5
"""Seconds between two reports; the first one comes at once."""


@define
class _Hunk:
    """One file of the patch so far."""

    path: str
    kind: PatchChangeKind
    lines: list[str] = field(factory=list[str])

    def change(self) -> FileUpdateChange:
        """The hunk as it is shown."""
        move = self.kind.move_path if isinstance(self.kind, UpdateChange) else None
        suffix = f"\n\nMoved to: {move}" if move else ""
        return FileUpdateChange(self.path, self.kind, "".join(self.lines) + suffix)


@define
class PatchStream:
    """Takes the text of a patch piece by piece. Times are seconds of any one clock."""

    _rest: str = ""
    _hunks: list[_Hunk] = field(factory=list[_Hunk], init=False)
    _begun: bool = False
    _over: bool = False
    _fresh: bool = False
    _reported: float | None = None

    def feed(self, piece: str, now: float) -> tuple[FileUpdateChange, ...] | None:
        """Take a piece; returns the changes so far if it is time to report them, sorted by path."""
        *lines, self._rest = (self._rest + piece).split("\n") if "\n" in piece else (self._rest + piece,)
        for line in lines:
            if not self._over:
                self._take(line.removesuffix("\r"))
        if not self._fresh or (self._reported is not None and now - self._reported < INTERVAL):
            return None
        self._reported = now
        return self._report()

    def finish(self) -> tuple[FileUpdateChange, ...] | None:
        """The input is complete; returns the changes if there are any that have not been reported."""
        return self._report() if self._fresh else None

    def _report(self) -> tuple[FileUpdateChange, ...]:
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
                self._over = bool(marker)  # the patch is not one; the error is told when it is complete

    def _open(self, path: str, kind: PatchChangeKind) -> None:
        self._hunks.append(_Hunk(path, kind))
        self._fresh = True

    def _inside(self, hunk: _Hunk, line: str, marker: str) -> bool:
        """Take the line as one of the hunk's; False if it is none."""
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
