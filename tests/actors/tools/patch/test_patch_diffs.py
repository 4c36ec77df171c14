"""Diffs: correct for any two texts, shortest if that is cheap, of bounded cost otherwise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.actors.tools.patch import line_diff
from spindle.actors.tools.patch.line_diff import Pace, matching
from spindle.actors.tools.patch.unified import unified_diff

TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=25)


def edits(old, new):
    """Check the matching; returns how many lines it leaves."""
    at = other = 0
    for run in matching(old, new):
        assert run.old >= at
        assert run.new >= other
        assert old[run.old : run.old + run.count] == new[run.new : run.new + run.count]
        at, other = run.old + run.count, run.new + run.count
    assert (at, other) == (len(old), len(new))
    return len(old) + len(new) - 2 * sum(run.count for run in matching(old, new))


def fewest(old, new):
    """The same with a textbook table."""
    row = [0] * (len(new) + 1)
    for line in old:
        corner = 0
        for at, other in enumerate(new):
            above = row[at + 1]
            row[at + 1] = corner + 1 if line == other else max(above, row[at])
            corner = above
    return len(old) + len(new) - 2 * row[-1]


@given(TEXTS, TEXTS)
def test_the_edit_is_a_shortest_one(old, new):
    assert edits(old, new) == fewest(old, new)


@given(TEXTS, TEXTS)
def test_beyond_the_limit_it_is_still_right(old, new):
    saved = line_diff.MAX_EDITS
    line_diff.MAX_EDITS = 2
    try:
        assert edits(old, new) >= fewest(old, new)
    finally:
        line_diff.MAX_EDITS = saved


N = 20_000
NUMBERS = tuple(f"{n}\n" for n in range(N))


@pytest.mark.parametrize(
    ("new", "most"),
    [
        pytest.param((*NUMBERS[:9], "x\n", *NUMBERS[10:-9], *NUMBERS[-8:]), 3, id="two changes far apart"),
        pytest.param(tuple(f"x{line}" for line in NUMBERS), 2 * N, id="nothing in common"),
        pytest.param(tuple(random.Random(1).sample(NUMBERS, N)), 2 * N, id="shuffled"),
        pytest.param(tuple("x\n" if n % 5 else NUMBERS[n] for n in range(N)), 2 * N * 4 // 5, id="most lines changed"),
        pytest.param(("x\n", "y\n") * (N // 2), 2 * N, id="two lines over and over"),
    ],
)
def test_large_texts_cost_a_bounded_number_of_steps(new, most, monkeypatch):
    counted: list[int] = []
    real = Pace.step

    def step(self, count=1):
        counted.append(count)
        real(self, count)

    monkeypatch.setattr(Pace, "step", step)
    assert edits(NUMBERS, new) <= most
    assert sum(counted) < 2 * (line_diff._MAX_STEPS + 30 * N)  # edits() compares twice


@pytest.mark.parametrize(
    ("old", "new", "diff"),
    [
        ("", "", ""),
        ("a\n", "a\n", ""),
        ("", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"),
        ("a\n", "", "@@ -1 +0,0 @@\n-a\n"),
        ("a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"),
        ("a\nb", "x\nb", "@@ -1,2 +1,2 @@\n-a\n+x\n b\n\\ No newline at end of file\n"),
    ],
)
def test_the_text_of_a_diff(old, new, diff):
    assert unified_diff(tuple(old.splitlines(True)), tuple(new.splitlines(True)), 1) == diff


def test_changes_that_are_near_share_a_hunk():
    new = list(NUMBERS[:30])
    new[5], new[8], new[20] = "x\n", "y\n", "z\n"
    apart = unified_diff(NUMBERS[:30], new, 1)
    assert [line for line in apart.splitlines() if line.startswith("@@")] == [
        "@@ -5,6 +5,6 @@",
        "@@ -20,3 +20,3 @@",
    ]
    assert unified_diff(NUMBERS[:30], new, 3).count("@@ -") == 2


def applied(old, diff):
    """The old text with the diff applied."""
    new, at = [], 0
    for line in diff:
        if line.startswith("@@"):
            span = line.split()[1][1:].split(",")
            start = int(span[0]) - (span[1:] != ["0"])
            new += old[at:start]
            at = start
            continue
        if line[0] in " -":
            assert old[at] == line[1:]
            at += 1
        if line[0] in " +":
            new.append(line[1:])
    return new + old[at:]


@given(TEXTS, TEXTS, st.integers(0, 4))
def test_a_diff_leads_from_the_old_text_to_the_new(old, new, context):
    diff = unified_diff(old, new, context)
    assert applied(old, diff.splitlines(True)) == new
