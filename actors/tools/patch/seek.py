"""Finding lines in a file: exactly, then ever more tolerantly, the earliest match of the strictest kind first."""

from __future__ import annotations

import time
from collections.abc import Callable

BLOCK = 256
"""Lines handled before the interpreter lock is let go for a moment."""

_TYPOGRAPHY = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
    **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
}
_PLAIN = str.maketrans(_TYPOGRAPHY)


def plain(line: str) -> str:
    """The line without white space around it, typographic dashes, quotes and spaces replaced by their ASCII forms."""
    return line.strip().translate(_PLAIN)


_FORMS: tuple[Callable[[str], str], ...] = (str.rstrip, str.strip, plain)


def seek(lines: list[str], wanted: list[str], start: int, *, at_end: bool = False) -> int | None:
    """Where `wanted` begins in `lines`, looking from `start` on, or with `at_end` only at the very end. None: nowhere.

    The lines are compared as they are, then without trailing white space, then without any around them, then with
    typographic characters made plain.
    """
    if not wanted:
        return start
    last = len(lines) - len(wanted)
    if last < 0:
        return None
    first = last if at_end else start
    found = _exact(lines, wanted, first, last)
    for form in _FORMS:
        if found is not None:
            return found
        shaped = _in_blocks(lines, first, form)
        found = _exact(shaped, [form(line) for line in wanted], 0, last - first)
        found = None if found is None else found + first
    return found


def _in_blocks(lines: list[str], first: int, form: Callable[[str], str]) -> list[str]:
    """The lines from `first` on in that form, made block by block."""
    shaped: list[str] = []
    for at in range(first, len(lines), BLOCK):
        shaped.extend(map(form, lines[at : at + BLOCK]))
        time.sleep(0)
    return shaped


def _exact(lines: list[str], wanted: list[str], first: int, last: int) -> int | None:
    head, count = wanted[0], len(wanted)
    for block in range(first, last + 1, BLOCK):
        at, end = block, min(block + BLOCK, last + 1)
        while at < end:
            try:
                at = lines.index(head, at, end)
            except ValueError:
                break
            if lines[at : at + count] == wanted:
                return at
            at += 1
        if block > first:
            time.sleep(0)
    return None
