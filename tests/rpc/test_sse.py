"""Reading server-sent events from a byte stream."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.rpc.sse import EventSplitter

STREAM = b'event: a\ndata: {"n":1}\n\ndata:{"n":2}\n\n: comment\n\nid: 7\ndata: x\ndata: y\nretry: 1\n\n'
PAYLOADS = [b'{"n":1}', b'{"n":2}', b"x\ny"]


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [payload for piece in pieces for payload in splitter.feed(piece)]


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(borders)]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@given(cuts=st.lists(st.integers(0, 500), max_size=30))
def test_payloads_do_not_depend_on_chunk_borders(ending: bytes, cuts: list[int]) -> None:
    assert split(pieces_of(STREAM.replace(b"\n", ending), cuts)) == PAYLOADS


@given(cuts=st.lists(st.integers(0, 5), max_size=4))
def test_a_byte_order_mark_is_ignored(cuts: list[int]) -> None:
    assert split(pieces_of(b"\xef\xbb\xbf" + STREAM, cuts)) == PAYLOADS


def test_an_event_is_complete_when_its_blank_line_arrives() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n") == []
    assert splitter.feed(b"\ndata: 2") == [b"1"]
    assert splitter.feed(b"\r\n\r") == [b"2"]
    assert splitter.feed(b"\ndata: 3\r\n\r\n") == [b"3"]


def test_a_line_end_across_two_chunks_is_one_line_end() -> None:
    assert split([b"data: a\r", b"\ndata: b\r\n\r\n"]) == [b"a\nb"]
    assert split([b"data: a\r", b"", b"\ndata: b\r", b"\r"]) == [b"a\nb"]


def test_line_separators_of_unicode_do_not_end_a_line() -> None:
    text = "data: a\u2028b\x85c\n\n".encode()
    assert split([text]) == ["a\u2028b\x85c".encode()]


def test_an_event_without_a_blank_line_is_read_at_the_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\ndata: 2\n") == [b"1"]
    assert splitter.finish() == [b"2"]
    assert splitter.finish() == []
