"""Finding lines in a file: exactly, then ever more tolerantly, the earliest match of the strictest kind first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

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


def unended(line: str) -> str:
    """The line without its line end, if it has one."""
    return line.removesuffix("\n").removesuffix("\r")


_FORMS: tuple[Callable[[str], str], ...] = (unended, str.rstrip, str.strip, plain)


def seek(lines: Sequence[str], wanted: Sequence[str], start: int, *, at_end: bool = False) -> int | None:
    """Where `wanted` begins in `lines`, looking from `start` on, or with `at_end` only at the very end. None: nowhere.

    The lines are compared as they are but for their ends, then without trailing white space, then without any around
    them, then with typographic characters made plain.
    """
    if not wanted:
        return start
    last = len(lines) - len(wanted)
    if last < 0:
        return None
    first = last if at_end else start
    for form in _FORMS:
        found = _first(lines, [form(line) for line in wanted], first, last, form)
        if found is not None:
            return found
    return None


def _first(lines: Sequence[str], wanted: list[str], first: int, last: int, form: Callable[[str], str]) -> int | None:
    """The first index from `first` to `last` at which the lines in that form are those wanted; block by block."""
    head, count = wanted[0], len(wanted)
    block = max(BLOCK, count)
    for base in range(first, last + 1, block):
        places = min(block, last + 1 - base)
        shaped = [form(line) for line in lines[base : base + places + count - 1]]
        at = 0
        while at < places:
            try:
                at = shaped.index(head, at, places)
            except ValueError:
                break
            if shaped[at : at + count] == wanted:
                return base + at
            at += 1
        time.sleep(0)
    return None
