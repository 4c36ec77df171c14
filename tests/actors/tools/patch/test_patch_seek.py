"""Finding lines: as a simple search does, and until it is interrupted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.actors.tools.patch import seek
from spindle.actors.tools.patch.seek import Seeker, plain, unended

LINE = st.sampled_from(["", "a", "a ", " a", "b", "“b”", '"b"', "\ta", "a\r"])


def simply(lines, wanted, start, at_end):
    """A simple search by the docstring of `seek`."""
    last = len(lines) - len(wanted)
    for form in (unended, str.rstrip, str.strip, plain):
        for at in [last] if at_end else range(start, last + 1):
            if at >= 0 and [form(line) for line in lines[at : at + len(wanted)]] == [form(line) for line in wanted]:
                return at
    return None


@given(
    st.lists(LINE, max_size=12), st.lists(LINE, min_size=1, max_size=3), st.integers(0, 12), st.booleans(), st.booleans()
)
def test_lines_are_found_where_a_simple_search_finds_them(lines, wanted, start, at_end, ended):
    lines = [f"{line}\n" for line in lines]
    if lines and not ended:
        lines[-1] = lines[-1][:-1]
    found = Seeker(lines, lambda: None).seek(wanted, min(start, len(lines)), at_end=at_end)
    assert found == simply(lines, wanted, min(start, len(lines)), at_end)


def test_a_match_across_two_stretches_is_found(monkeypatch):
    monkeypatch.setattr(seek, "_STRETCH", 4)
    lines = [f"{number}\n" for number in range(50)]
    seeker = Seeker(lines, lambda: None)
    assert [seeker.seek([f"{number}", f"{number + 1}"], 0) for number in range(49)] == list(range(49))


def test_a_search_ends_when_it_is_interrupted():
    checks: list[None] = []

    def check():
        checks.append(None)
        if len(checks) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Seeker(["x\n"] * 10_000, check).seek(["y"], 0)
    assert len(checks) == 3
