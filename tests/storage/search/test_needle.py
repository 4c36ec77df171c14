"""Search terms: in text with any case and line breaks; in bytes without false negatives."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.storage.search.needle import AFTER, BEFORE, Needle, TextMatch, collapsed, snippet


@pytest.mark.parametrize(
    ("term", "text", "places"),
    [
        ("needle", "a Needle and NEEDLES", [(2, 8), (13, 19)]),
        ("strasse", "die Straße", [(4, 10)]),
        ("STRAßE", "die strasse", [(4, 11)]),
        ("äö", "ÄÖ", [(0, 2)]),
        ("two words", "two words", [(0, 9)]),
        ("two \n words", "two words", [(0, 9)]),
        ("aa", "aaaa", [(0, 2), (2, 4)]),
        ("s", "ßs", [(0, 1), (0, 1), (1, 2)]),
        ("x", "abc", []),
    ],
)
def test_matches(term, text, places):
    assert Needle(term).matches(text) == [TextMatch(*place) for place in places]


def test_a_text_is_searched_as_one_line():
    assert collapsed(" a\n b\t\tc ") == "a b c"
    assert Needle("a b").matches(collapsed("a\nb"))


def test_a_snippet_counts_in_utf16_units():
    text = "😀 Needle " + "x" * 200
    found = snippet(text, Needle("needle").matches(text)[0])
    assert found.text == text[: 8 + AFTER] + " ..."
    assert found.text.encode("utf-16-le")[found.start * 2 : found.end * 2].decode("utf-16-le") == "Needle"


def test_a_snippet_from_the_middle_is_cut_on_both_sides():
    text = "x" * 200 + "needle" + "y" * 200
    found = snippet(text, Needle("needle").matches(text)[0])
    assert found.text == "... " + "x" * BEFORE + "needle" + "y" * AFTER + " ..."
    assert found.text[found.start : found.end] == "needle"


LETTERS = st.sampled_from(list('aAsSkKßẞſKﬁfi ÄäİıΣσς😀"\\/\n\té1'))


@given(st.text(LETTERS, max_size=12), st.text(LETTERS, min_size=1, max_size=4).filter(lambda term: term.strip()))
def test_the_bytes_have_no_false_negatives(text, term):
    needle = Needle(term)
    if needle.matches(collapsed(text)):
        assert needle.may_be_in(orjson.dumps({"text": text}))


@pytest.mark.parametrize("term", ["needle", "привет", "😀", "a b", '"', "ß"])
def test_the_bytes_exclude_other_files(term):
    assert Needle(term).may_be_in(b'{"text":"something else entirely"}') is (term == '"')
