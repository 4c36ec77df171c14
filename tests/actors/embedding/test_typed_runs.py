"""Runs with an `output_type`: the schema that is sent, the value, and the turn that repairs."""

from dataclasses import dataclass

import pytest
import trio

import spindle


@dataclass
class Report:
    title: str
    lines: int


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "lines": {"type": "integer"}},
    "required": ["title", "lines"],
    "additionalProperties": False,
}


async def test_the_answer_becomes_a_value(opened, scripted):
    model = scripted(['{"title": "A", "lines": 2}'], ['{"value": [1, 2]}'], ["plain"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(10):
            report = await thread.run("go", output_type=Report)
            numbers = await thread.run("go", output_type=list[int])
            plain = await thread.run("go")
    assert (report.output, report.text) == (Report("A", 2), '{"title": "A", "lines": 2}')
    assert (numbers.output, plain.output) == ([1, 2], "plain")
    formats = [(request.raw.text or {}).get("format") for request in model.requests]
    assert [each and (each["strict"], each["schema"]) for each in formats] == [
        (True, SCHEMA),
        (True, {**SCHEMA, "properties": {"value": {"type": "array", "items": {"type": "integer"}}}, "required": ["value"]}),
        None,
    ]


async def test_an_answer_that_does_not_fit_is_repaired_by_another_turn(opened, scripted):
    model = scripted(['{"title": "A", "lines": "two"}'], ['{"title": "A", "lines": 2}'])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(10):
            report = await thread.run("go", output_type=Report)
        turns = (await thread.read(include_turns=True)).turns
    assert report.output == Report("A", 2)
    assert [turn.id for turn in turns][-1] == report.id
    assert model.conversation()[-1] == (
        "Your answer does not fit the schema: lines: must be an integer. Answer again, with JSON that fits it and nothing else."
    )
    assert model.requests[0].raw.text == model.requests[1].raw.text


async def test_a_second_answer_that_does_not_fit_is_an_error(opened, scripted):
    async with opened(scripted(["no"], ['{"title": "A"}'], ["next"])) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(10):
            with pytest.raises(spindle.OutputInvalid, match="lines: is missing") as invalid:
                await thread.run("go", output_type=Report)
            assert (await thread.run("go")).text == "next"
    assert isinstance(invalid.value, spindle.Error)
    assert (invalid.value.text, invalid.value.reason) == ('{"title": "A"}', "lines: is missing")
    assert (invalid.value.result.status, invalid.value.result.text) == ("completed", '{"title": "A"}')


async def test_wrong_types_are_refused_before_a_turn(opened, scripted):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with pytest.raises(TypeError, match="output_type: bytes has no JSON schema"):
            await thread.run("go", output_type=bytes)
        with pytest.raises(spindle.InvalidOption, match="output_schema: must not be given together with output_type"):
            await thread.run("go", output_type=Report, output_schema={})
    assert model.requests == []
