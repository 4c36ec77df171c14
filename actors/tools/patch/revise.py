"""Apply the chunks of a hunk to the content of a file.

Context lines keep their bytes, even if they matched only tolerantly. Added lines get the line end of their neighbours. A last
line without a newline keeps none unless it is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from spindle.actors.tools.patch.content import Content
from spindle.actors.tools.patch.hunks import Chunk, Edit, Op, PatchError
from spindle.actors.tools.patch.seek import Seeker


@frozen
class _Placed:
    """A chunk, and the index in the file of its old lines or of its insertion."""

    at: int
    chunk: Chunk


def revise(content: Content, chunks: Sequence[Chunk], path: str, check: Callable[[], None]) -> Content:
    """The content after the chunks; `path` is for messages. Raises PatchError, and what `check` raises (called regularly)."""
    old = content.lines
    new: list[str] = []
    done = 0
    for place in _place(Seeker(old, check), len(old), chunks, path):
        new += old[done : place.at]
        done = place.at
        for edit in place.chunk.edits:
            if edit.op is Op.ADD:
                new.append(edit.text + _line_end(old, done))
                continue
            if edit.op is Op.KEEP:
                new.append(old[done])
            done += 1
    new += old[done:]
    if old and not old[-1].endswith("\n"):  # lines follow it now
        new[:-1] = [line if line.endswith("\n") else line + _line_end(old, len(old)) for line in new[:-1]]
    return Content(tuple(new))


def _line_end(lines: Sequence[str], at: int) -> str:
    """The end of a line inserted before index `at`: that of the line before, else of the nearest line that has one."""
    for near in (at - 1, at - 2, at):
        if 0 <= near < len(lines) and lines[near].endswith("\n"):
            return "\r\n" if lines[near].endswith("\r\n") else "\n"
    return "\n"


def _place(old: Seeker, end: int, chunks: Sequence[Chunk], path: str) -> list[_Placed]:
    """Find every chunk, each after the one before it; returns them in the order of the file."""
    placed: list[_Placed] = []
    start = 0
    for chunk in chunks:
        if chunk.context is not None:
            at = old.seek([chunk.context], start)
            if at is None:
                raise PatchError(f"Failed to find context '{chunk.context}' in {path}")
            start = at + 1
        if not chunk.old:
            within = chunk.context is not None and not chunk.at_end
            placed.append(_Placed(start if within else end, chunk))
            continue
        place = _found(old, chunk, start) or _found(old, _trimmed(chunk), start)
        if place is None:
            raise PatchError(f"Failed to find expected lines in {path}:\n" + "\n".join(chunk.old))
        placed.append(place)
        start = place.at + len(place.chunk.old)
    return sorted(placed, key=lambda place: place.at)


def _found(old: Seeker, chunk: Chunk | None, start: int) -> _Placed | None:
    if chunk is None:
        return None
    at = old.seek(chunk.old, start, at_end=chunk.at_end)
    return None if at is None else _Placed(at, chunk)


def _trimmed(chunk: Chunk) -> Chunk | None:
    """The chunk without its empty last line, which means the newline at the end of the file; None if it has none."""
    edits = list(chunk.edits)
    lasts = [index for index, edit in enumerate(edits) if edit.op is not Op.ADD]
    if edits[lasts[-1]].text or len(lasts) == 1:
        return None
    del edits[lasts[-1]]
    if edits[-1] == Edit(Op.ADD, ""):
        del edits[-1]
    return evolve(chunk, edits=tuple(edits))
