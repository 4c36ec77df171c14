"""Prompts, answers and calls of tools: recorded only on request, in the form of the conventions, and cut."""

import json

import pytest

from spindle.otel import Content, OpenTelemetryInstrument
from spindle.otel.content import LIMIT, cut, input_messages, instructions, output_messages, output_text

EVERYTHING = Content(prompts=True, responses=True, tools=True)
MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
ANSWER = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
CALL = {"type": "function_call", "call_id": "c", "name": "double", "arguments": '{"x": 1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "2"}


def call(id, name, **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def shout(text: str) -> str:
    """Shouts."""
    return text.upper()


def history(*items):
    return [json.dumps(item).encode() for item in items]


def messages(*items, wanted=EVERYTHING):
    return json.loads(input_messages(history(*items), wanted))


async def run(opened, scripted, **options):
    model = scripted([call("s", "shout", text="hello you")], ["Shouted."])
    async with (
        opened(model, **options) as runtime,
        runtime.start_thread(tools=[shout], base_instructions="Be a crier.") as thread,
    ):
        await thread.run("Shout it.")


async def test_nothing_of_it_is_recorded_by_default(opened, scripted, telemetry):
    await run(opened, scripted)
    values = [str(value) for span in telemetry.spans for value in span.attributes.values()]
    assert "execute_tool" in values
    for words in ("crier", "Shout it", "hello you", "HELLO YOU", "Shouted"):
        assert not [value for value in values if words in value]


async def test_all_of_it_on_request(opened, scripted, telemetry):
    await run(opened, scripted, content=True)
    turn, tool, [first, last] = telemetry.one("invoke_agent"), telemetry.one("execute_tool"), telemetry.named("chat")
    assert json.loads(turn.attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Shout it."}]}
    ]
    assert json.loads(turn.attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Shouted."}], "finish_reason": "stop"}
    ]
    assert json.loads(first.attributes["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be a crier."}]
    called = {"type": "tool_call", "id": "s", "name": "shout", "arguments": '{"text": "hello you"}'}
    assert json.loads(first.attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [called], "finish_reason": "tool_call"}
    ]
    sent = json.loads(last.attributes["gen_ai.input.messages"])
    assert sent[-3:] == [
        {"role": "user", "parts": [{"type": "text", "content": "Shout it."}]},
        {"role": "assistant", "parts": [called]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "s", "response": "HELLO YOU"}]},
    ]
    assert tool.attributes["gen_ai.tool.call.arguments"] == '{"text": "hello you"}'
    assert tool.attributes["gen_ai.tool.call.result"] == "HELLO YOU"


@pytest.mark.parametrize(
    ("wanted", "there", "absent"),
    [
        (Content(prompts=True), ["Shout it", "crier"], ["HELLO YOU", "hello you", "Shouted"]),
        (Content(responses=True), ["Shouted."], ["Shout it", "crier", "hello you", "HELLO YOU"]),
        (Content(tools=True), ["hello you", "HELLO YOU"], ["Shout it", "crier", "Shouted"]),
    ],
)
async def test_only_a_part_of_it(opened, scripted, telemetry, wanted, there, absent):
    await run(opened, scripted, content=wanted)
    text = " ".join(str(value).replace("\\", "") for span in telemetry.spans for value in span.attributes.values())
    assert [words for words in there if words not in text] == []
    assert [words for words in absent if words in text] == []


def test_each_kind_of_item():
    image = {"type": "input_image", "image_url": "https://example.com/a.png"}
    inline = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    search = {"type": "web_search_call", "id": "w", "action": {"query": "weather"}}
    custom = {"type": "custom_tool_call", "call_id": "p", "name": "apply_patch", "input": "*** Begin"}
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "thinking"}], "encrypted_content": "x"}
    shown = messages(
        {"type": "message", "role": "developer", "content": "be kind"},
        {"type": "message", "role": "user", "content": [image, inline]},
        reasoning,
        search,
        custom,
        {"type": "custom_tool_call_output", "call_id": "p", "output": [{"type": "input_text", "text": "ok"}]},
        {"type": "compaction", "encrypted_content": "x"},
    )
    assert shown == [
        {"role": "system", "parts": [{"type": "text", "content": "be kind"}]},
        {
            "role": "user",
            "parts": [
                {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                {"type": "omitted", "of": "input_image"},
            ],
        },
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "thinking"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "w", "name": "web_search_call", "arguments": '{"query":"weather"}'}],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "p", "name": "apply_patch", "arguments": "*** Begin"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "p", "response": '[{"type":"text","content":"ok"}]'}]},
    ]


def test_a_long_history_keeps_its_end():
    said = [{**MESSAGE, "content": [{"type": "input_text", "text": f"{n}: {'x' * 10_000}"}]} for n in range(100)]
    text = input_messages(history(*said), EVERYTHING)
    shown = json.loads(text)
    assert LIMIT < len(text) < 2 * LIMIT
    assert shown[0] == {"role": "system", "parts": [{"type": "omitted", "messages": 100 - len(shown) + 1}]}
    assert shown[-1]["parts"][0]["content"].startswith("99: ")


def test_a_long_text_and_a_huge_item_are_cut():
    text = "x" * 100_000
    [shown] = messages({**MESSAGE, "content": [{"type": "input_text", "text": text}]})
    assert shown["parts"][0]["content"].endswith("x… (83616 more characters)")
    huge = {**MESSAGE, "content": [{"type": "input_image", "image_url": "data:" + "A" * 1_000_000}]}
    shown, _ = messages(huge, MESSAGE)
    assert shown == {"role": "user", "parts": [{"type": "omitted", "bytes": len(json.dumps(huge))}]}
    assert len(instructions(text)) < 20_000
    assert len(output_text(text)) < 20_000
    assert cut("short") == "short"


def test_a_long_answer_is_cut():
    said = [{**ANSWER, "content": [{"type": "output_text", "text": "x" * 16_000}]} for _ in range(20)]
    [shown] = json.loads(output_messages(said, EVERYTHING, "stop"))
    assert len(shown["parts"]) < 8
    assert shown["parts"][-1] == {"type": "omitted"}


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": 1, "content": None},
        {"type": "message", "content": [None, 1, {"text": 2}]},
        {"type": "reasoning", "summary": [None, {"text": 1}]},
        {"type": "function_call"},
        {"type": "function_call_output", "output": None},
        {"type": None},
        {},
    ],
)
def test_items_of_any_form_disturb_nothing(item):
    assert isinstance(messages(item), list)
    assert json.loads(output_messages([item], EVERYTHING, "stop"))


def test_only_true_a_part_or_nothing_is_asked_for():
    with pytest.raises(TypeError, match="content is True, False or a Content, not 'false'"):
        OpenTelemetryInstrument(content="false")  # type: ignore[arg-type]
