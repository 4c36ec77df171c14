"""Unified diffs as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spindle.actors.tools.patch.line_diff import Same, matching
from spindle.rpc.lazy_class import frozen


@frozen
class _Change:
    """Lines `old_start` to `old_end` of the old text became `new_start` to `new_end` of the new one."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


def unified_diff(old: Sequence[str], new: Sequence[str], context: int) -> str:
    """The hunks from `old` to `new` (lines with their ends), each with `context` lines around it; "" if they are equal."""
    changes = _changes(matching(old, new))
    return "".join(_hunk(old, new, group, context) for group in _groups(changes, context))


def _changes(runs: Sequence[Same]) -> list[_Change]:
    found: list[_Change] = []
    old = new = 0
    for run in runs:
        if (old, new) != (run.old, run.new):
            found.append(_Change(old, run.old, new, run.new))
        old, new = run.old + run.count, run.new + run.count
    return found


def _groups(changes: Sequence[_Change], context: int) -> Iterator[list[_Change]]:
    """Changes whose context touches share a hunk."""
    group: list[_Change] = []
    for change in changes:
        if group and change.old_start - group[-1].old_end > 2 * context:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _hunk(old: Sequence[str], new: Sequence[str], group: Sequence[_Change], context: int) -> str:
    first, last = group[0], group[-1]
    before = min(context, first.old_start)
    after = min(context, len(old) - last.old_end)
    old_span = _span(first.old_start - before, last.old_end + after)
    new_span = _span(first.new_start - before, last.new_end + after)
    lines = [f"@@ -{old_span} +{new_span} @@\n"]
    at = first.old_start - before
    for change in group:
        lines += _signed(" ", old[at : change.old_start])
        lines += _signed("-", old[change.old_start : change.old_end])
        lines += _signed("+", new[change.new_start : change.new_end])
        at = change.old_end
    lines += _signed(" ", old[at : at + after])
    return "".join(lines)


def _span(start: int, end: int) -> str:
    """The range of lines in a hunk header: counted from 1; of an empty range, the line before it."""
    count = end - start
    return f"{start + 1 if count else start}{'' if count == 1 else f',{count}'}"


def _signed(sign: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield sign + line if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"
