"""The search term: in text, ignoring case and line breaks; and in the bytes of a file.

The bytes only exclude files: a file whose text contains the term is never excluded.
"""

from __future__ import annotations

import re
from typing import Final

from spindle.rpc.lazy_class import frozen

BEFORE: Final = 48
AFTER: Final = 96
"""The most characters of a snippet before and after the match."""

_CUT: Final = "..."

# Blanks, and characters that JSON can escape, end a word.
_WORD: Final = re.compile(r"[^\x00-\x20\"/\\\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def collapsed(text: str) -> str:
    """The text with each run of blanks as one space. This form is searched and shown."""
    return " ".join(text.split())


@frozen
class TextMatch:
    """A match in a collapsed text: the characters [start, end)."""

    start: int
    end: int


@frozen
class Snippet:
    """An excerpt; `start` and `end` of the match in it are UTF-16 code units."""

    text: str
    start: int
    end: int


class Needle:
    """A search term, which must not be blank."""

    def __init__(self, term: str) -> None:
        self.folded: str = collapsed(term).casefold()
        self._word: str = max(_WORD.findall(self.folded), key=len, default="")
        self._bytes: bytes = self._word.encode("utf-8", "surrogatepass")
        self.overlap: int = 4 * len(self._word)
        """Bytes that two blocks must share, so that no match is cut in half."""

    def may_be_in(self, block: bytes) -> bool:
        """Whether these bytes of a file may contain text with the term; False is certain."""
        if not self._word or self._bytes in block.lower():
            return True
        # letters outside ASCII, and those that fold to ASCII, cannot be recognised by their bytes
        return not block.isascii() and self._word in block.decode("utf-8", "ignore").casefold()

    def matches(self, text: str) -> list[TextMatch]:
        """All matches in a collapsed text, without overlaps."""
        folded = text.casefold()
        if self.folded not in folded:
            return []
        origin = None if len(folded) == len(text) else [i for i, c in enumerate(text) for _ in c.casefold()]
        found: list[TextMatch] = []
        at = folded.find(self.folded)
        while at >= 0:
            end = at + len(self.folded)
            found.append(TextMatch(at, end) if origin is None else TextMatch(origin[at], origin[end - 1] + 1))
            at = folded.find(self.folded, end)
        return found


def snippet(text: str, match: TextMatch) -> Snippet:
    """The text around a match in a collapsed text."""
    first, last = max(0, match.start - BEFORE), min(len(text), match.end + AFTER)
    head = f"{_CUT} " if first else ""
    tail = f" {_CUT}" if last < len(text) else ""
    start = _units(head + text[first : match.start])
    return Snippet(head + text[first:last] + tail, start, start + _units(text[match.start : match.end]))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
