"""Quote words for a shell in Codex's style, and split them.

`shlex.join` quotes other characters and in another way, but clients and rules compare these texts with Codex's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9+\-./:@\]_]+")
_SINGLE: Final = re.compile(r"\^?[^'^\\]*")  # a ^ only at the start
_DOUBLE: Final = re.compile(r"[^`$!^]*")


def quote(word: str) -> str:
    """`word` quoted for a shell, in as few pieces as possible, each with one style of quotes."""
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
    """A command line that a shell splits into `words`."""
    return " ".join(map(quote, words))


def split(line: str) -> list[str] | None:
    """The words of `line`; None if a quote is not closed."""
    try:
        return shlex.split(line)
    except ValueError:
        return None
