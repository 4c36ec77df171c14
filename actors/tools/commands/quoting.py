"""Words to a shell's spelling and back, in the reference's style.

`shlex.join` of the standard library quotes other characters and in another way; clients and rules compare these texts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9+\-./:@\]_]+")
_SINGLE: Final = re.compile(r"\^?[^'^\\]*")  # they hold a ^ only at their beginning
_DOUBLE: Final = re.compile(r"[^`$!^]*")


def quote(word: str) -> str:
    """`word` so that a shell reads it back; as few pieces as possible, each in one style of quoting."""
    if not word:
        return "''"
    pieces: list[str] = []
    at = 0
    while at < len(word):
        bare = _BARE.match(word, at)
        single, double = _SINGLE.match(word, at), _DOUBLE.match(word, at)
        ends = [found.end() if found else at for found in (bare, single, double)]
        end = max(ends)
        piece = word[at:end]
        if ends[0] == end:
            pieces.append(piece)
        elif ends[1] == end:
            pieces.append(f"'{piece}'")
        else:
            pieces.append('"' + re.sub(r'(["\\])', r"\\\1", piece) + '"')
        at = end
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
