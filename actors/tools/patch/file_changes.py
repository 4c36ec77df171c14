"""The changes of a plan as clients see them: one for each path."""

from __future__ import annotations

from collections.abc import Sequence

from spindle.actors.tools.patch.content import Content
from spindle.actors.tools.patch.effects import FileEffect, Image
from spindle.actors.tools.patch.unified import unified_diff
from spindle.rpc.protocol.items import AddChange, DeleteChange, FileUpdateChange, UpdateChange

CONTEXT = 1
"""Lines around each change in the diffs of an item."""


def changes(effects: Sequence[FileEffect]) -> tuple[FileUpdateChange, ...]:
    """The changes from before the first hunk to after the last, sorted by path."""
    files = {effect.target: effect for effect in effects}
    moves = {
        file.origin: target
        for target, file in files.items()
        if file.origin and file.after and files[file.origin].before and not files[file.origin].after
    }
    shown: list[FileUpdateChange] = []
    for target, file in files.items():
        if target in moves.values():
            continue
        goal = files[moves[target]] if target in moves else None
        match file.before, goal.after if goal else file.after:
            case None, None:
                pass
            case Image() as before, None:
                shown.append(FileUpdateChange(file.shown, DeleteChange(), _text(before)))
            case before, Image() as after if goal is None and (before is None or file.added or before.content is None):
                shown.append(FileUpdateChange(file.shown, AddChange(), _text(after)))
            case Image(content=Content() as old), Image(content=Content() as new):
                diff = unified_diff(old.lines, new.lines, CONTEXT)
                move = goal.shown if goal else None
                suffix = f"\n\nMoved to: {move}" if move else ""
                shown.append(FileUpdateChange(file.shown, UpdateChange(move), diff + suffix))
            case _:  # an update of a file that is not text was refused before
                pass
    return tuple(sorted(shown, key=lambda change: change.path))


def _text(image: Image) -> str:
    return image.content.text() if image.content else ""
