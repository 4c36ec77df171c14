"""The model without a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from spindle.rpc.model.interface import (
    Completed,
    Created,
    ItemDone,
    Model,
    ModelEvent,
    ModelRequest,
    SummaryDelta,
    TextDelta,
)
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.offline import OfflineModel, ScriptedAnswer
from spindle.rpc.model.playing import words

REQUEST = ModelRequest("m", "do", [], [], False, None, [], None, None, "t", {}, "t", "u", "o", "ua")


def asking(*items: object) -> ModelRequest:
    return attrs.evolve(REQUEST, input=[orjson.dumps(item) for item in items])


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def played(
    model: Model, request: ModelRequest = REQUEST, seen: list[ModelEvent] | None = None
) -> list[ModelEvent]:
    events = [] if seen is None else seen
    async with model.stream(request) as batches:
        async for batch in batches:
            events.extend(batch)
    return events


def text_of(events: Sequence[ModelEvent]) -> str:
    return "".join(event.delta for event in events if isinstance(event, TextDelta))


async def test_it_repeats_the_input_in_several_pieces() -> None:
    events = await played(OfflineModel(), asking(user("first"), user("hello  there")))
    assert '"hello there"' in text_of(events)
    assert len(events) > 6
    assert isinstance(events[0], Created)
    assert isinstance(events[-1], Completed)
    done = [event.item for event in events if isinstance(event, ItemDone)]
    assert [item["content"][0]["text"] for item in done] == [text_of(events)]


async def test_it_repeats_the_output_of_a_tool() -> None:
    output = {"type": "function_call_output", "call_id": "c", "output": "42 files"}
    assert '"42 files"' in text_of(await played(OfflineModel(), asking(user("count"), output)))
    assert "Nothing was asked" in text_of(await played(OfflineModel()))


async def test_usage_follows_the_lengths() -> None:
    request = asking(user("x" * 400))
    last = (await played(OfflineModel(), request))[-1]
    assert isinstance(last, Completed)
    assert last.usage is not None
    assert last.usage.input_tokens == -(-(len(request.instructions) + len(request.input[0])) // 4)
    assert last.usage.total_tokens == last.usage.input_tokens + last.usage.output_tokens > last.usage.output_tokens > 0


async def test_a_script_is_played_in_order_then_the_input_is_repeated() -> None:
    model = OfflineModel(["one", ScriptedAnswer(chunks=("t", "wo"))])
    assert [text_of(await played(model)) for _ in range(2)] == ["one", "two"]
    assert "Nothing was asked" in text_of(await played(model))
    assert model.requests == 3


async def test_an_error_interrupts_the_message() -> None:
    model = OfflineModel([ScriptedAnswer(chunks=("par",), error=ModelError("boom", retryable=True))])
    seen: list[ModelEvent] = []
    with pytest.raises(ModelError, match="boom"):
        await played(model, seen=seen)
    assert text_of(seen) == "par"
    assert not any(isinstance(event, ItemDone | Completed) for event in seen)


async def test_times_are_kept(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    await played(OfflineModel([ScriptedAnswer(chunks=("a", "b", "c"), delay=10, pace=2)]))
    assert trio.current_time() - start == 16


async def test_streaming_can_be_cancelled_everywhere() -> None:
    model = OfflineModel(["a b c d"])
    seen = 0
    with trio.CancelScope() as scope:
        async with model.stream(REQUEST) as batches:
            async for _ in batches:
                seen += 1
                scope.cancel()
    assert scope.cancelled_caught
    assert seen == 1


async def test_a_file_holds_a_script(tmp_path: Path) -> None:
    raw = [{"type": "response.output_text.delta", "delta": "raw"}]
    script = [
        "plain",
        {"reasoning": "let me see", "text": "thought", "calls": [{"name": "f", "arguments": {"a": 1}, "call_id": "c"}]},
        {"events": raw},
        {"error": {"message": "no", "info": "contextWindowExceeded"}},
    ]
    path = tmp_path / "script.json"
    path.write_bytes(orjson.dumps(script))
    model = OfflineModel.from_file(path)
    assert text_of(await played(model)) == "plain"
    events = await played(model)
    assert "".join(event.delta for event in events if isinstance(event, SummaryDelta)) == "let me see"
    items = [event.item for event in events if isinstance(event, ItemDone)]
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call"]
    assert items[2]["arguments"] == '{"a":1}'
    assert items[2]["call_id"] == "c"
    with pytest.raises(ModelError) as cut_off:
        await played(model)
    assert cut_off.value.retryable
    with pytest.raises(ModelError) as failure:
        await played(model)
    assert failure.value.info == "contextWindowExceeded"
    assert not failure.value.retryable


@pytest.mark.parametrize(
    ("script", "words_of_error"),
    [
        ("{}", "must be an array"),
        ("[", "script.json"),
        ('["a", 5]', "answer 2"),
        ('[{"txet": "a"}]', "txet"),
        ('[{"chunks": [1]}]', "chunks"),
        ('[{"delay": true}]', "delay"),
        ('[{"calls": [{}]}]', "name"),
        ('[{"error": {}}]', "message"),
    ],
)
def test_an_invalid_script_is_refused_with_the_place(tmp_path: Path, script: str, words_of_error: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(script)
    with pytest.raises(ValueError, match=words_of_error):
        OfflineModel.from_file(path)


@given(st.text())
def test_words_lose_nothing(text: str) -> None:
    assert "".join(words(text)) == text
