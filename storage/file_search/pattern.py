"""What a client types: words, all of which must match. `^start`, `end$`, `'exact` and `!not` are as in fzf."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from spindle.rpc.lazy_class import frozen
from spindle.storage.file_search import scoring
from spindle.storage.file_search.scoring import Scored

LONGEST: Final = 1_000
"""Characters of a query that count."""

_WORDS: Final = re.compile(r"(?:\\\s|\S)+")
_SPECIAL: Final = str.maketrans("øØłŁđĐıß", "oOlLdDis")


def visible(text: str) -> str:
    """The text without marks that belong to the character before them: its characters as they are counted."""
    return text if text.isascii() else "".join(char for char in text if not unicodedata.combining(char))


def folded(text: str, accents: bool = True) -> str:
    """The text in small letters, and with `accents` without accents; of the same length."""
    if text.isascii():
        return text.lower()
    return "".join(_fold(char, accents) for char in text)


def _fold(char: str, accents: bool) -> str:
    if accents:
        base = unicodedata.normalize("NFD", char)[0].translate(_SPECIAL)
        char = base if base.isascii() else char
    small = char.lower()
    return small if len(small) == 1 else char


@frozen
class Word:
    """One word of a query."""

    needle: str
    start: bool
    end: bool
    adjacent: bool
    negated: bool
    accents: bool
    """Whether letters match those with accents too: unless the word itself has some."""
    possible: Callable[[str], object]
    """Whether a path has the characters in their order: a quick test."""

    def match(self, text: str, small: str) -> Scored | None:
        """The match of a path in its visible characters; `small` is the path `folded`."""
        if not self.accents:
            small = folded(text, False)
        found = self._match(text, small)
        if self.negated:
            return None if found is not None else (0, ())
        return found

    def _match(self, text: str, small: str) -> Scored | None:
        needle = self.needle
        if not self.possible(small):
            return None
        if self.start or self.end:
            first = len(small) - len(small.lstrip()) if self.start and not needle[0].isspace() else 0
            last = len(small.rstrip()) if self.end and not needle[-1].isspace() else len(small)
            at = first if self.start else last - len(needle)
            if at < 0 or (self.start and self.end and last - first != len(needle)) or small[at : at + len(needle)] != needle:
                return None
            return scoring.run(text, at, len(needle))
        if len(needle) == 1:
            return scoring.single(text, small, needle)
        if self.adjacent:
            return scoring.substring(text, small, needle)
        return scoring.scattered(text, small, needle)

    def most(self, small: str) -> int:
        """A bound of its score in this path."""
        bound = 0 if self.negated else scoring.most(len(self.needle))
        return bound if self.negated or self.needle in small or not self.accents else bound - scoring.GAP


def parse(query: str) -> Sequence[Word]:
    """The words of a query."""
    return [word for raw in _WORDS.findall(query[:LONGEST]) if (word := _word(raw)) is not None]


def _word(raw: str) -> Word | None:
    negated = raw.startswith("!")
    text = raw[1:] if negated or raw.startswith("\\!") else raw
    start, adjacent = text.startswith("^"), text.startswith("'")
    if start or adjacent or text.startswith(("\\^", "\\'")):
        text = text[1:]
    end = text.endswith("$") and not text.endswith("\\$")
    if end:
        text = text[:-1]
    elif text.endswith("\\$"):
        text = text[:-2] + "$"
    text = visible(text.replace("\\ ", " "))
    if not text:
        return None
    needle = folded(text, False)
    accents = folded(needle) == needle
    return Word(
        needle=needle,
        start=start or (end and adjacent),
        end=end,
        adjacent=adjacent or negated,
        negated=negated,
        accents=accents,
        possible=re.compile("".join(f"[^{re.escape(char)}]*+{re.escape(char)}" for char in needle)).match,
    )
