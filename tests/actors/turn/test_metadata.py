"""What a request says of its turn to the provider."""

import orjson
import pytest

from spindle.actors.turn.metadata import HEADER, MOST, described, given
from spindle.rpc.protocol.errors import RpcError


@pytest.mark.parametrize(
    ("replacement", "patch", "after"),
    [
        (None, None, {"a": "1"}),
        ({"b": "2"}, None, {"b": "2"}),
        ({}, None, {}),
        (None, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"b": "2"}, {"b": "3", "c": "4"}, {"b": "3", "c": "4"}),
        ({"turn_id": "x", "session_id": "y", "sandbox": "none"}, {"window_id": "z"}, {}),
    ],
)
def test_the_entries_of_clients(replacement, patch, after):
    assert given({"a": "1"}, replacement, patch) == after


def test_entries_that_are_too_long():
    assert given({}, {"a": "x" * (MOST - 1)}, None)
    with pytest.raises(RpcError, match="responsesapiClientMetadata must have at most 8192 characters"):
        given({}, {"a": "x" * (MOST - 1)}, {"b": ""})


def test_all_that_is_known_is_one_ascii_object():
    ids = {"session_id": "s", "turn_id": "t", "parent_turn_id": None, "model": "m"}
    sent = described(ids, {"naïve": "\U0001f600\n\x7f", "turn_id": "x"}, "s:0")
    assert {name: sent[name] for name in sent if name != HEADER} == {
        "session_id": "s",
        "turn_id": "t",
        "x-codex-window-id": "s:0",
    }
    assert sent[HEADER].isascii()
    assert sent[HEADER].isprintable()
    assert orjson.loads(sent[HEADER]) == {
        "naïve": "\U0001f600\n\x7f",
        "turn_id": "t",
        "session_id": "s",
        "model": "m",
        "window_id": "s:0",
        "request_kind": "turn",
    }
