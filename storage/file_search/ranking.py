"""The best matches of a query among the paths of a walk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from heapq import heappush, heapreplace
from typing import Final

from spindle.rpc.lazy_class import frozen
from spindle.storage.file_search.pattern import parse
from spindle.storage.file_search.walking import FoundPath

LIMIT: Final = 50
"""Results of one query."""

_BLOCK: Final = 256


@frozen
class RankedPath:
    """A path that matches, with the positions of the matched characters, in ascending order."""

    found: FoundPath
    score: int
    indices: Sequence[int]


class _Worst:
    """A match as the heap orders it: the worst first, which has the lowest score, then the longest path, then the last."""

    __slots__ = ("place", "score")

    def __init__(self, score: int, found: FoundPath) -> None:
        self.score, self.place = score, (len(found.text), found.path)

    def __lt__(self, other: _Worst) -> bool:
        return self.place > other.place if self.score == other.score else self.score < other.score


def best(paths: Sequence[FoundPath], query: str, check: Callable[[], None], limit: int = LIMIT) -> Sequence[RankedPath]:
    """The best matches, by score and path. Of equal scores, the shortest paths are kept.

    `check` is called regularly, and may raise to stop.
    """
    words = parse(query)
    if not words:
        return []
    heap: list[tuple[_Worst, int, Sequence[int]]] = []
    for index, found in enumerate(paths):
        if index % _BLOCK == 0:
            check()
            time.sleep(0)  # other threads of the interpreter run
        if len(heap) == limit:
            highest = _Worst(sum(word.most(found.folded) for word in words), found)
            if not heap[0][0] < highest:
                continue
        score, places = 0, set[int]()
        for word in words:
            match = word.match(found.text, found.folded)
            if match is None:
                break
            score += match[0]
            places.update(match[1])
        else:
            one = _Worst(score, found), index, sorted(places)
            if len(heap) < limit:
                heappush(heap, one)
            elif heap[0][0] < one[0]:
                heapreplace(heap, one)
    ranked = sorted(heap, key=lambda one: (-one[0].score, paths[one[1]].path, one[1]))
    return [RankedPath(paths[index], worst.score, places) for worst, index, places in ranked]
