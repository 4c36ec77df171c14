"""Bounds of JSON values."""

from typing import Any

import orjson
import pytest

from spindle.rpc.protocol.values import (
    DEPTH,
    DEPTH_OF_RECORDS,
    VALUES,
    clean,
    crowded,
    fault,
    is_clean,
    loads,
    one_line,
    readable,
)


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value, "b": 2}
    return value


@pytest.mark.parametrize("levels", [1, 2, DEPTH - 1, DEPTH])
def test_nesting_up_to_the_bound_is_decoded(levels: int) -> None:
    assert loads(orjson.dumps(nested(levels))) == nested(levels)
    assert fault(nested(levels)) is None


@pytest.mark.parametrize(
    "text",
    [
        orjson.dumps(nested(DEPTH + 1)),
        bytearray(orjson.dumps(nested(DEPTH + 1))),
        orjson.dumps(nested(DEPTH + 1)).decode(),
        orjson.dumps([nested(DEPTH), "x" * (1 << 20)]),
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        "[" * 10_000 + "]" * 10_000,
    ],
)
def test_nesting_beyond_the_bound_is_refused(text: bytes | bytearray | str) -> None:
    with pytest.raises(orjson.JSONDecodeError, match=r"^recursion limit exceeded"):
        loads(text)


def test_many_brackets_are_not_many_levels() -> None:
    values: list[Any] = [[[]] * 1000, "[" * 1000, [{"a": [1]}] * 1000, {"[": "[[[[" * 100}]
    for value in values:
        assert loads(orjson.dumps(value)) == value


def test_a_record_has_room_for_a_document_and_a_message_for_a_record() -> None:
    assert fault({"payload": {"item": {"arguments": nested(DEPTH)}}}, DEPTH_OF_RECORDS) is None
    orjson.dumps({"params": {"thread": {"turns": [{"items": [nested(DEPTH_OF_RECORDS)]}]}}})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "finite"),
        (float("-inf"), "finite"),
        (2**64, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        ("a\udcff", "UTF-8"),
        (nested(DEPTH + 1), "recursion limit"),
    ],
)
def test_the_fault_of_a_value_is_named(value: object, why: str) -> None:
    for place, keys in ((value, ()), ([1, value], ("1",)), ({"a": {"b": value}}, ("a", "b"))):
        found = fault(place)
        assert found is not None
        assert why in found.reason
        assert found.keys[: len(keys)] == keys
    if isinstance(value, str):
        assert why in str(fault({value: 1}))


def test_a_value_without_fault_can_be_encoded() -> None:
    value: Any = [2**64 - 1, -(2**63), 1e308, True, None, "\0 ö \U0001f600", {"": {}}]
    assert fault(value) is None
    assert orjson.loads(orjson.dumps(value)) == value


def test_text_is_cleaned_of_invalid_utf_8() -> None:
    assert clean("a\udcffb\ud800") == "a\ufffdb\ufffd"
    assert clean("ö \U0001f600") == "ö \U0001f600"
    assert (is_clean("ö"), is_clean("\udcff")) == (True, False)


def test_control_characters_in_text_from_outside_are_escaped() -> None:
    assert readable("a\x1b[2J\x07\x9b\u202eb\u2066\ud800\r\nc\td", 100) == "a\\x1b[2J\\x07\\x9b\\u202eb\\u2066\\ud800\nc\td"
    assert readable("plain \u00fc \u4e2d \U0001f600", 100) == "plain \u00fc \u4e2d \U0001f600"
    assert readable("abcdef", 3) == "abc\u2026"


def test_a_line_for_the_log_is_one_line() -> None:
    assert one_line("a\nERROR b\u2028c\td", 100) == "a\\nERROR b\\u2028c\\td"


@pytest.mark.parametrize(
    ("document", "is_crowded"),
    [
        (b"[" + b"{}," * (VALUES - 10) + b"1]", False),
        (b"[" + b"{}," * (VALUES + 10) + b"1]", True),
        (b"[" + b'"a" ,' * (VALUES + 10) + b"1]", True),
        (b'["' + b'\\"a\\",' * (VALUES + 10) + b'"]', False),
        (b'["' + b"a,b;" * (VALUES + 10) + b'"]', False),
    ],
    ids=["few", "objects", "texts", "one text with quotes", "one text with commas"],
)
def test_a_document_with_too_many_values_is_crowded(document: bytes, is_crowded: bool) -> None:
    assert crowded(document) is is_crowded
