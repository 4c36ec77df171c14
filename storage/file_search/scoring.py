"""How well characters match a path: scores and positions, with the constants of the matcher `nucleo`, configured for paths.

A matched character counts 16. It counts more at the beginning of a path, a folder, a word or a number, and after a match; a gap
between matches costs 3 and 1 for each further character. Of all ways to match, the best counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

MATCH: Final = 16
BOUNDARY: Final = 8
DELIMITED: Final = BOUNDARY + 1
GAP: Final = 3
FURTHER: Final = 1
CHANGE: Final = BOUNDARY - GAP
"""From a small to a capital letter, or to a digit."""
ADJACENT: Final = GAP + FURTHER
FIRST: Final = 2
"""Factor of the bonus of the first character."""

_BLANK, _OTHER, _SLASH, _LOWER, _UPPER, _LETTER, _DIGIT = range(7)
_BEFORE: Final = {_BLANK: BOUNDARY, _SLASH: DELIMITED, _OTHER: BOUNDARY}

Scored: TypeAlias = tuple[int, Sequence[int]]
"""A score, and the positions of the matched characters."""


@lru_cache(4096)
def _kind(char: str) -> int:
    if char == "/":
        return _SLASH
    if char.islower():
        return _LOWER
    if char.isupper():
        return _UPPER
    if char.isnumeric():
        return _DIGIT
    if char.isalpha():
        return _LETTER
    return _BLANK if char.isspace() else _OTHER


def bonus(text: str, at: int) -> int:
    """What the character at this place counts beyond a match, for what stands before it."""
    kind = _kind(text[at])
    before = _kind(text[at - 1]) if at else _SLASH
    if kind > _SLASH:
        if before in _BEFORE:
            return _BEFORE[before]
        if (before == _LOWER and kind == _UPPER) or (before != _DIGIT and kind == _DIGIT):
            return CHANGE
        return 0
    return 0 if kind == _SLASH else BOUNDARY


def most(length: int) -> int:
    """No match of so many characters scores higher."""
    return length * (MATCH + DELIMITED) + DELIMITED


def run(text: str, start: int, length: int) -> Scored:
    """The score of the adjacent characters from `start` on."""
    follows = bonus(text, start)
    score = MATCH + FIRST * follows
    for at in range(start + 1, start + length):
        own = bonus(text, at)
        if own >= BOUNDARY and own > follows:
            follows = own
        score += MATCH + max(own, follows, ADJACENT)
    return score, range(start, start + length)


def single(text: str, folded: str, char: str) -> Scored | None:
    """The best place of one character; the first of several."""
    score, place = 0, -1
    at = folded.find(char)
    while at >= 0:
        own = bonus(text, at)
        if MATCH + FIRST * own > score:
            score, place = MATCH + FIRST * own, at
            if own >= BOUNDARY:
                break
        at = folded.find(char, at + 1)
    return (score, (place,)) if place >= 0 else None


def substring(text: str, folded: str, needle: str) -> Scored | None:
    """The best place of adjacent characters: that with the best beginning."""
    found, place = -1, -1
    at = folded.find(needle)
    while at >= 0:
        if (own := bonus(text, at)) > found:
            found, place = own, at
            if own >= BOUNDARY:
                break
        at = folded.find(needle, at + 1)
    return run(text, place, len(needle)) if place >= 0 else None


class _Cell:
    """A character of the needle at one place: the best score up to it, the bonus of its run, and the cell before it."""

    __slots__ = ("at", "before", "follows", "score")

    def __init__(self, at: int, score: int, follows: int, before: _Cell | None) -> None:
        self.at, self.score, self.follows, self.before = at, score, follows, before


def scattered(text: str, folded: str, needle: str) -> Scored:
    """The best way to match all characters in their order, with gaps. There must be one."""
    row: list[_Cell] = []
    first = -1
    for index, char in enumerate(needle):
        at = first = folded.index(char, first + 1)
        cells: list[_Cell] = []
        if index == 0:
            while at >= 0:
                own = bonus(text, at)
                cells.append(_Cell(at, MATCH + FIRST * own, own, None))
                at = folded.find(char, at + 1)
        else:
            # `gapped` is the best score after a gap that ends before `at`, from the cell `origin`
            gapped, origin, known = 0, row[0], row[0].at
            waiting = iter(row)
            cell = next(waiting, None)
            while at >= 0:
                while cell is not None and cell.at < at - 1:
                    gapped = max(0, gapped - FURTHER * (cell.at - known))
                    known = cell.at
                    if cell.score - GAP > gapped:
                        gapped, origin = cell.score - GAP, cell
                    cell = next(waiting, None)
                own = bonus(text, at)
                score, follows, before = max(0, gapped - FURTHER * max(0, at - 2 - known)) + own, own, origin
                if cell is not None and cell.at == at - 1:
                    adjacent = max(cell.follows, ADJACENT)
                    if own >= BOUNDARY and own > adjacent:
                        adjacent = own
                    if cell.score + max(adjacent, own) > score:
                        score, follows, before = cell.score + max(adjacent, own), adjacent, cell
                cells.append(_Cell(at, score + MATCH, follows, before))
                at = folded.find(char, at + 1)
        row = cells
    best = row[0]
    for one in row:
        if one.score >= best.score:
            best = one
    places: list[int] = []
    last: _Cell | None = best
    while last is not None:
        places.append(last.at)
        last = last.before
    return best.score, places[::-1]
