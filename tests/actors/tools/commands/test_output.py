"""Output in pieces: decoded, bounded, sent live, truncated for the model."""

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from spindle.actors.tools.commands.output import MOST, PIECE, QUIET, Deltas, HeadTail, new_decoder
from spindle.actors.tools.truncation import (
    Limit,
    fitted,
    line_count,
    shown_to_model,
    token_count,
    truncate_middle,
)

BYTES = st.one_of(st.binary(max_size=60), st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))


def pieces(data, cuts):
    """`data` cut at `cuts`."""
    ends = sorted(min(cut, len(data)) for cut in cuts)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(BYTES, st.lists(st.integers(0, 60), max_size=8))
@example("€".encode(), [1, 2])
@example(b"\xff\xfeabc\xe2\x82", [3])
def test_any_split_of_the_bytes_decodes_to_the_same_text(data, cuts):
    decoder = new_decoder()
    parts = [decoder.decode(piece) for piece in pieces(data, cuts)] + [decoder.decode(b"", True)]
    assert "".join(parts) == data.decode("utf-8", "replace")


@given(BYTES, st.lists(st.integers(0, 60), max_size=8), st.integers(2, 80))
def test_a_buffer_keeps_both_ends_however_the_bytes_come(data, cuts, cap):
    buffer = HeadTail(cap)
    for piece in pieces(data, cuts):
        buffer.push(piece)
    assert len(buffer) == min(len(data), cap)
    assert buffer.omitted == len(data) - len(buffer)
    if len(data) <= cap:
        assert buffer.text() == data.decode("utf-8", "replace")
    whole = HeadTail(cap)
    whole.push(data)
    assert whole.text() == buffer.text()


@given(st.text(max_size=60), st.integers(2, 40))
def test_the_gap_never_shows_as_a_broken_character(text, cap):
    buffer = HeadTail(cap)
    buffer.push(text.encode())
    kept = buffer.text()
    assert "\N{REPLACEMENT CHARACTER}" not in kept or "\N{REPLACEMENT CHARACTER}" in text
    assert len(kept.encode()) <= cap
    head = len(next((kept[:n] for n in range(len(kept), -1, -1) if text.startswith(kept[:n])), ""))
    assert text.endswith(kept[head:])


def test_taking_the_unread_output_clears_it():
    buffer = HeadTail(4)
    buffer.push(b"abcdef")
    assert buffer.take() == "abef"
    assert len(buffer) == buffer.omitted == 0
    buffer.push(b"gh")
    assert buffer.text() == "gh"


def test_many_small_pieces_are_kept_in_few(tmp_path):
    buffer = HeadTail(100_000)
    for _ in range(100_000):
        buffer.push(b"xyz")
    assert len(buffer) == 100_000
    assert len(buffer._tail) < 100


# ---- what the model is shown

NUMBERS = "".join(f"{number}\n" for number in range(1, 20_001))


@pytest.mark.parametrize(
    ("text", "limit", "begins", "mark", "ends"),
    [
        (NUMBERS, Limit(50), "Total output lines: 20000\n\n1\n2\n", "36\n3…27174 tokens truncated…984\n", "\n20000\n"),
        (
            NUMBERS.replace("\n", " "),
            Limit(10),
            "Total output lines: 1\n\n1 2",
            " 10…27214 tokens truncated…7 1",
            "20000 ",
        ),
        ("hi\n", Limit(0), "Total output lines: 1\n\n", "…1 tokens truncated…", "…"),
        ("aé€😀" * 6 + "\n", Limit(5), "Total output lines: 1\n\naé€😀", "😀…11 tokens truncated…é", "é€😀\n"),
        (NUMBERS, Limit(40, "bytes"), "Total output lines: 20000\n\n1", "…108854 chars truncated…", "\n20000\n"),
    ],
)
def test_long_output_is_cut_in_the_middle_as_in_codex(text, limit, begins, mark, ends):
    shown = shown_to_model(text, limit)
    assert shown.startswith(begins)
    assert mark in shown
    assert shown.endswith(ends)


@given(st.text(max_size=80), st.integers(0, 30), st.sampled_from(["tokens", "bytes"]))
def test_cutting_keeps_within_the_limit_and_short_output_as_it_is(text, amount, unit):
    limit = Limit(amount, unit)
    shown = truncate_middle(text, limit)
    if len(text.encode("utf-8", "replace")) <= limit.size:
        assert shown == shown_to_model(text, limit) == text
    else:
        head, _, rest = shown.partition("…" if "…" not in text else "\0")
        if rest:
            assert len((head + rest.partition("…")[2]).encode()) <= limit.size
            assert text.startswith(head)


def test_tokens_and_lines_are_counted():
    assert [token_count(text) for text in ("", "a", "abcd", "abcde", "é€")] == [0, 1, 1, 2, 2]
    assert [line_count(text) for text in ("", "a", "a\n", "a\nb")] == [0, 1, 1, 2]


# ---- live


async def no_output():
    pass


@pytest.fixture
def clock():
    return MockClock()


async def test_the_first_piece_goes_out_at_once_and_the_next_are_gathered(clock):
    shown: list[str] = []
    deltas = Deltas(shown.append, no_output)
    assert deltas.due == float("inf")
    await deltas.add("a")
    await deltas.add("b")
    await deltas.add("c")
    assert shown == ["a"]
    assert deltas.due == pytest.approx(trio.current_time() + QUIET)
    clock.jump(QUIET)
    await deltas.add("d")
    assert shown == ["a", "bcd"]
    await deltas.flush()
    assert shown == ["a", "bcd"]


async def test_much_text_does_not_wait_for_the_time(clock):
    shown: list[str] = []
    deltas = Deltas(shown.append, no_output)
    await deltas.add("a")
    await deltas.add("b" * PIECE)
    assert shown == ["a", "b" * PIECE]


async def test_pieces_are_limited_in_number(clock):
    shown: list[str] = []
    deltas = Deltas(shown.append, no_output)
    for _ in range(MOST + 5):
        await deltas.add("a" * PIECE)
    assert len(shown) == MOST


async def test_a_reader_waits_for_room_until_it_is_hurried(clock):
    shown: list[str] = []
    reached: list[int] = []
    deltas = Deltas(shown.append, trio.sleep_forever)

    async def read():
        await deltas.add("a")
        reached.append(1)
        clock.jump(QUIET)
        await deltas.add("b")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        assert (shown, reached) == (["a"], [])
        deltas.hurry()
    assert (shown, reached) == (["a", "b"], [1])


async def test_pieces_without_waiting_for_room_are_limited(clock):
    shown: list[str] = []
    deltas = Deltas(shown.append, trio.sleep_forever)
    deltas.hurry()
    for _ in range(100):
        await deltas.add("a" * PIECE)
    assert len(shown) == 16


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 24, "x" * 24),
        ("a" * 15 + "b" * 15, "a" * 12 + "…6 chars truncated…" + "b" * 12),
        ("é" * 13, "é" * 6 + "…1 chars truncated…" + "é" * 6),
        ("€" * 10, "€" * 4 + "…2 chars truncated…" + "€" * 4),
    ],
)
def test_any_output_is_recorded_with_little_more_than_the_models_limit(text, kept):
    limit = Limit(20, "bytes")
    assert fitted(text, limit) == kept
    image = {"type": "input_image", "image_url": "data:" + "A" * 99}
    assert fitted([{"type": "input_text", "text": text}, image], limit) == [{"type": "input_text", "text": kept}, image]
