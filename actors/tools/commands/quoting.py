"""Words to a shell's spelling and back, in the reference's style.

`shlex.join` of the standard library quotes other characters and in another way; clients and rules compare these texts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9+\-./:@\]_]+")
_BARE, _SINGLE, _DOUBLE = 1, 2, 4
_FORBIDDEN: Final = ((_SINGLE, "'^\\"), (_DOUBLE, "`$!^"))


def _allowed(char: str) -> int:
    """The styles in which `char` stands for itself, or can be escaped."""
    styles = _BARE if _PLAIN.match(char) else 0
    for style, forbidden in _FORBIDDEN:
        if char not in forbidden:
            styles |= style
    return styles


def quote(word: str) -> str:
    """`word` so that a shell reads it back; as few pieces as possible, each in one style of quoting."""
    if not word:
        return "''"
    pieces: list[str] = []
    while word:
        styles, end = _BARE | _SINGLE | _DOUBLE, 0
        if word[0] == "^":  # single quotes hold it only at their beginning
            styles, end = _SINGLE, 1
        while end < len(word) and (left := styles & _allowed(word[end])):
            styles, end = left, end + 1
        piece, word = word[:end], word[end:]
        if styles & _BARE:
            pieces.append(piece)
        elif styles & _SINGLE:
            pieces.append(f"'{piece}'")
        else:
            pieces.append('"' + re.sub(r'(["\\])', r"\\\1", piece) + '"')
    return "".join(pieces)


def join(words: Iterable[str]) -> str:
    """A command line that a shell splits into `words` again."""
    return " ".join(map(quote, words))


def split(line: str) -> list[str] | None:
    """The words of `line`, or None if a quotation is not ended."""
    try:
        return shlex.split(line)
    except ValueError:
        return None
