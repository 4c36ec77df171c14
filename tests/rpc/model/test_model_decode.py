"""Events of the Responses API as model events."""

import json
from typing import Any

import orjson
import pytest

from spindle.rpc.model.decode import decode
from spindle.rpc.model.interface import (
    Completed,
    Created,
    InputDelta,
    ItemAdded,
    ItemDone,
    ModelEvent,
    ReasoningDelta,
    ResponseMetadata,
    SummaryDelta,
    SummaryPartAdded,
    TextDelta,
    Usage,
)
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.protocol.values import MOST

MESSAGE = {"type": "message", "role": "assistant", "id": "m", "content": []}
DONE = {"type": "response.completed", "response": {"id": "r"}}


def read(*events: object) -> tuple[list[ModelEvent], ModelError | None]:
    found: list[ModelEvent] = []
    failure = decode([event if isinstance(event, bytes) else orjson.dumps(event) for event in events], found)
    return found, failure


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "response.created", "response": {"id": "r"}}, Created("r")),
        ({"type": "response.created", "response": {}}, Created(None)),
        ({"type": "response.created", "response": {"id": "r", "headers": {"OpenAI-Model": "m"}}}, Created("r", "m")),
        ({"type": "response.created", "response": {"id": "r", "headers": {"openai-model": 1, "x": "y"}}}, Created("r")),
        ({"type": "response.metadata", "headers": {"openai-model": "m"}}, ResponseMetadata("m", [])),
        (
            {
                "type": "response.metadata",
                "metadata": {"openai_verification_recommendation": ["v", 1], "openai_chatgpt_moderation_metadata": {"a": 1}},
            },
            ResponseMetadata(None, ["v"], {"a": 1}),
        ),
        ({"type": "response.output_item.added", "item": MESSAGE}, ItemAdded(MESSAGE)),
        ({"type": "response.output_item.done", "item": MESSAGE}, ItemDone(MESSAGE)),
        ({"type": "response.output_text.delta", "delta": "x", "item_id": "m"}, TextDelta("x", "m")),
        ({"type": "response.output_text.delta", "delta": "x"}, TextDelta("x", None)),
        ({"type": "response.reasoning_summary_part.added", "summary_index": 1}, SummaryPartAdded(1)),
        ({"type": "response.reasoning_summary_text.delta", "delta": "s", "summary_index": 0}, SummaryDelta("s", 0)),
        ({"type": "response.reasoning_text.delta", "delta": "t", "content_index": 2}, ReasoningDelta("t", 2)),
        ({"type": "response.custom_tool_call_input.delta", "delta": "p", "item_id": "i"}, InputDelta("p", "i")),
        (DONE, Completed("r", None)),
    ],
)
def test_each_event_has_its_class(event: object, expected: ModelEvent) -> None:
    assert read(event) == ([expected], None)


def test_usage_is_decoded_with_its_details() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 15,
    }
    found, _ = read({"type": "response.completed", "response": {"id": "r", "usage": usage}})
    assert found == [Completed("r", Usage(10, 4, 5, 3, 15))]
    bare = {**usage, "input_tokens_details": None, "output_tokens_details": None}
    found, _ = read({"type": "response.completed", "response": {"id": "r", "usage": bare}})
    assert found == [Completed("r", Usage(10, 0, 5, 0, 15))]


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"[DONE]",
        b"{",
        b"\xff",
        b"[]",
        b"1",
        {},
        {"type": 5},
        {"type": ["response.created"]},
        {"type": "response.unheard_of"},
        {"type": "response.created"},
        {"type": "response.output_text.delta"},
        {"type": "response.output_text.delta", "delta": 1},
        {"type": "response.reasoning_summary_text.delta", "delta": "no index"},
        {"type": "response.output_item.done"},
        {"type": "response.output_item.done", "item": 5},
        {"type": "response.output_item.done", "item": {"type": "unheard_of"}},
        {"type": "response.output_item.done", "item": {"type": ["message"]}},
        {"type": "response.output_item.done", "item": {"type": "message", "content": []}},
        {"type": "response.output_item.done", "item": {"type": "function_call", "name": "n", "arguments": "{}"}},
        {"type": "response.completed"},
    ],
)
def test_unknown_and_invalid_events_are_skipped(event: object) -> None:
    found, failure = read(event, {"type": "response.output_text.delta", "delta": "on"}, DONE)
    assert found == [TextDelta("on", None), Completed("r", None)]
    assert failure is None


def test_events_after_the_end_are_ignored() -> None:
    assert read(DONE, {"type": "response.output_text.delta", "delta": "late"}) == ([Completed("r", None)], None)


def test_a_failure_comes_after_the_events_before_it() -> None:
    found, failure = read(
        {"type": "response.output_text.delta", "delta": "a"},
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "sorry"}}},
        DONE,
    )
    assert found == [TextDelta("a", None)]
    assert failure is not None
    assert failure.retryable
    assert failure.message == "stream disconnected before completion: sorry"


@pytest.mark.parametrize(
    ("response", "missing"),
    [
        ({}, "id"),
        ({"id": "r", "usage": {"input_tokens": 1}}, "output_tokens"),
        ({"id": "r", "usage": {}}, "input_tokens"),
        ({"id": "r", "usage": {"input_tokens": 1, "output_tokens": 1}}, "total_tokens"),
    ],
)
def test_a_completion_that_does_not_parse_is_a_failure(response: dict[str, Any], missing: str) -> None:
    found, failure = read({"type": "response.completed", "response": response})
    assert found == []
    assert failure is not None
    assert failure.retryable
    assert f"missing field `{missing}`" in failure.message


@pytest.mark.parametrize(
    ("count", "taken"), [(2**63, MOST), (2**64, MOST), (1e300, MOST), (-1, 0), (-(2**63), 0), (7.9, 7), (MOST, MOST)]
)
def test_counts_are_clamped(count: float, taken: int) -> None:
    usage = {"input_tokens": count, "output_tokens": count, "total_tokens": count}
    details = {"input_tokens_details": {"cached_tokens": count}, "output_tokens_details": {"reasoning_tokens": count}}
    event = {"type": "response.completed", "response": {"id": "r", "usage": {**usage, **details}}}
    assert read(json.dumps(event).encode()) == ([Completed("r", Usage(taken, taken, taken, taken, taken))], None)
    part = {"type": "response.reasoning_summary_part.added", "summary_index": count}
    assert read(json.dumps(part).encode()) == ([SummaryPartAdded(taken)], None)


def test_an_event_nested_too_deeply_is_skipped() -> None:
    deep = b'{"type":"response.output_item.done","item":{"type":"compaction","encrypted_content":"a","more":%s}}'
    assert read(deep % (b"[" * 126 + b"]" * 126)) == ([], None)
    assert len(read(deep % (b"[" * 120 + b"]" * 120))[0]) == 1
