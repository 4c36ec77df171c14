"""The lines that two texts share: by the shortest edit where that is cheap, by a longer one where it is not.

Myers' greedy algorithm (E. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986) with a budget. Texts that exceed
the budget are split at lines that occur once in both, and a part that still exceeds it counts as replaced. So the cost is
bounded for any input, and the diff of a very large change may be longer than needed. (difflib has no bound: its cost grows
with the number of pairs of equal lines.)
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence

from attrs import define

from spindle.rpc.lazy_class import frozen

MAX_EDITS = 400
"""The shortest edit is searched up to so many insertions and deletions."""
_MAX_STEPS = 300_000
_BLOCK = 64
QUANTUM = 128
"""Small steps (a microsecond or less each) after which other Python threads may run."""


@define
class Pace:
    """Counts the steps of long work in a worker thread, and lets other Python threads run after each `QUANTUM` of them.

    That takes a sleep: the interpreter lock, released by a short system call, is mostly taken back at once.
    """

    done: int = 0
    _next: int = QUANTUM

    def step(self, count: int = 1) -> None:
        """Count steps."""
        self.done += count
        if self.done >= self._next:
            self._next = self.done + QUANTUM
            time.sleep(0)


@frozen
class Same:
    """`count` equal lines: from index `old` of the first text and `new` of the second."""

    old: int
    new: int
    count: int


def matching(old: Sequence[str], new: Sequence[str]) -> list[Same]:
    """The runs of equal lines, in order; the last one is always the empty run at the end of both texts."""
    pace = Pace()
    limit = min(len(old), len(new))
    head = _run(old, new, 0, 0, limit, pace)
    tail = _tail(old, new, limit - head, pace)
    end = Same(len(old) - tail, len(new) - tail, tail)
    middle = _divided(old[head : end.old], new[head : end.new], pace)
    runs = [Same(0, 0, head), *(Same(run.old + head, run.new + head, run.count) for run in middle), end]
    return [*(run for run in runs if run.count), Same(len(old), len(new), 0)]


def _run(old: Sequence[str], new: Sequence[str], at: int, other: int, limit: int, pace: Pace) -> int:
    """How many lines are equal after the two indices, at most `limit`."""
    count = 0
    while count < limit:
        step = min(_BLOCK, limit - count)
        if old[at + count : at + count + step] != new[other + count : other + count + step]:
            break
        count += step
        pace.step()
    while count < limit and old[at + count] == new[other + count]:
        count += 1
    return count


def _tail(old: Sequence[str], new: Sequence[str], limit: int, pace: Pace) -> int:
    count = 0
    while count < limit and old[-1 - count] == new[-1 - count]:
        count += 1
        pace.step()
    return count


def _divided(old: Sequence[str], new: Sequence[str], pace: Pace) -> list[Same]:
    """The runs in two texts that differ at both ends."""
    if not old or not new:
        return []
    limit = pace.done + _MAX_STEPS
    found = _shortest(old, new, pace, limit)
    if found is not None:
        return found
    runs: list[Same] = []
    at = other = 0
    for anchor in [*_anchors(old, new, pace), Same(len(old), len(new), 0)]:
        part = _shortest(old[at : anchor.old], new[other : anchor.new], pace, limit) or []
        runs += [Same(run.old + at, run.new + other, run.count) for run in part]
        if anchor.count:
            runs.append(anchor)
        at, other = anchor.old + anchor.count, anchor.new + anchor.count
        pace.step()
    return runs


def _anchors(old: Sequence[str], new: Sequence[str], pace: Pace) -> list[Same]:
    """Lines that occur once in each text: the longest series of them that has the same order in both."""
    where = _once(new, pace)
    pairs: list[tuple[int, int]] = []
    for line, at in _once(old, pace).items():
        if line in where:
            pairs.append((at, where[line]))
        pace.step()
    ends: list[int] = []
    tops: list[int] = []
    before: list[int] = []
    for index, (_, other) in enumerate(pairs):
        pile = bisect_left(ends, other)
        before.append(tops[pile - 1] if pile else -1)
        ends[pile : pile + 1] = [other]
        tops[pile : pile + 1] = [index]
        pace.step()
    chain: list[Same] = []
    index = tops[-1] if tops else -1
    while index >= 0:
        chain.append(Same(*pairs[index], 1))
        index = before[index]
    return chain[::-1]


def _once(lines: Sequence[str], pace: Pace) -> dict[str, int]:
    seen: dict[str, int] = {}
    often: set[str] = set()
    for at, line in enumerate(lines):
        if line in seen:
            often.add(line)
        seen[line] = at
        pace.step()
    for line in often:
        del seen[line]
    return seen


def _shortest(old: Sequence[str], new: Sequence[str], pace: Pace, limit: int) -> list[Same] | None:
    """The runs that a shortest edit keeps; None if that exceeds the budget."""
    n, m = len(old), len(new)
    if abs(n - m) > MAX_EDITS:
        return None
    furthest = {1: 0}
    rounds: list[dict[int, int]] = []
    for edits in range(min(n + m, MAX_EDITS) + 1):
        rounds.append(furthest.copy())
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])
            x = furthest[k + 1] if down else furthest[k - 1] + 1
            y = x - k
            pace.step()
            if x <= n and y <= m:
                x += _run(old, new, x, y, min(n - x, m - y), pace)
            furthest[k] = x
            if x >= n and x - k >= m:
                return _traced(rounds, n, m)
        if pace.done > limit:
            return None
    return None


def _traced(rounds: list[dict[int, int]], x: int, y: int) -> list[Same]:
    """Follow the rounds back from the end."""
    runs: list[Same] = []
    for edits in range(len(rounds) - 1, -1, -1):
        furthest, k = rounds[edits], x - y
        down = k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])
        previous = k + 1 if down else k - 1
        from_x = furthest[previous]
        from_y = from_x - previous
        start_x = (from_x if down else from_x + 1) if edits else 0
        if x > start_x:
            runs.append(Same(start_x, start_x - k, x - start_x))
        x, y = from_x, from_y
    runs.reverse()
    return runs
