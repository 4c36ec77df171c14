"""Find lines in a file: exactly, then with more and more tolerance; the first match of the strictest form wins."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

from attrs import frozen

BLOCK = 256
"""Lines handled before other Python threads may run."""
_STRETCH = 1 << 20
"""Characters searched before other Python threads may run."""

_TYPOGRAPHY = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
    **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
}
_PLAIN = str.maketrans(_TYPOGRAPHY)


def plain(line: str) -> str:
    """The line without white space around it, with ASCII forms of typographic dashes, quotes and spaces."""
    return line.strip().translate(_PLAIN)


def unended(line: str) -> str:
    """The line without its line end, if it has one."""
    return line.removesuffix("\n").removesuffix("\r")


_Form = Callable[[str], str]
_FORMS: tuple[_Form, ...] = (unended, str.rstrip, str.strip, plain)


@frozen
class _Text:
    """All lines in one form as one text, with a newline before and after each, and the start of each."""

    text: str
    starts: array[int]


class Seeker:
    """Finds lines in `lines` by one text search, so the cost does not depend on how often lines repeat.

    `check` is called regularly; what it raises ends the search.
    """

    def __init__(self, lines: Sequence[str], check: Callable[[], None]) -> None:
        self._lines, self._check = lines, check
        self._texts: dict[_Form, _Text] = {}

    def seek(self, wanted: Sequence[str], start: int, *, at_end: bool = False) -> int | None:
        """The index of `wanted` at or after `start`, or with `at_end` only at the very end; None if it is not found.

        Lines are compared without line ends, then without trailing white space, then without white space around them, then
        with ASCII forms of typographic characters.
        """
        if not wanted:
            return start
        last = len(self._lines) - len(wanted)
        if last < 0 or (start > last and not at_end):
            return None
        for form in _FORMS:
            shaped = [form(line) for line in wanted]
            if at_end:
                found = last if [form(line) for line in self._lines[last:]] == shaped else None
            else:
                found = self._first(form, shaped, start)
            if found is not None:
                return found
        return None

    def _first(self, form: _Form, wanted: list[str], start: int) -> int | None:
        """The first match in that form at or after `start`."""
        shaped = self._shaped(form)
        needle = "\n".join(["", *wanted, ""])
        for at in range(shaped.starts[start] - 1, len(shaped.text), _STRETCH):
            self._rest()
            found = shaped.text.find(needle, at, at + _STRETCH + len(needle) - 1)
            if found >= 0:
                return bisect_left(shaped.starts, found + 1)
        return None

    def _shaped(self, form: _Form) -> _Text:
        known = self._texts.get(form)
        if known is None:
            shaped: list[str] = []
            starts, end = array("q"), 1
            for at in range(0, len(self._lines), BLOCK):
                block = [form(line) for line in self._lines[at : at + BLOCK]]
                *begins, end = accumulate((len(line) + 1 for line in block), initial=end)
                shaped += block
                starts.extend(begins)
                self._rest()
            known = self._texts[form] = _Text("\n".join(["", *shaped, ""]), starts)
        return known

    def _rest(self) -> None:
        self._check()
        time.sleep(0)
