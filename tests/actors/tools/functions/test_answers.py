"""Answers of a type: the schema's root, and the value in the text."""

from datetime import date
from typing import Any, Literal

import jsonschema  # type: ignore[import-untyped]
import pytest

from spindle.actors.tools.functions.answers import AnswerType
from spindle.actors.tools.functions.conversion import Misfit

from .types import Hotel, Leg, Place, Trip, Unit


def test_an_object_is_the_root():
    answers = AnswerType[Trip](Trip)
    assert answers.schema["required"] == ["to", "days", "tags"]
    read = answers.read('{"to": {"miles": 3}, "days": 2, "tags": []}')
    assert read == Trip(Leg(3.0), 2, [])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "7", 7),
        (list[int], "[1, 2]", [1, 2]),
        (Literal["yes", "no"], '"no"', "no"),
        (Unit, '"celsius"', Unit.C),
        (Leg | Hotel | None, '{"miles": 1}', Leg(1.0)),
        (dict[str, date], '[{"key": "a", "value": "2020-01-02"}]', {"a": date(2020, 1, 2)}),
        (Place, '{"city": "Oslo", "near": [], "code": 7}', Place("Oslo")),
    ],
)
def test_any_other_value_is_a_member_of_the_root(kind, text, value):
    answers = AnswerType[Any](kind)
    assert (answers.schema["type"], answers.schema["required"]) == ("object", ["value"])
    whole = f'{{"value": {text}}}'
    jsonschema.Draft202012Validator.check_schema(answers.schema)
    assert answers.read(whole) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I cannot.", "it is no JSON: "),
        ("7", "value: is missing"),
        ('{"values": 7}', "value: is missing"),
        ('{"value": "7"}', "the value must be an integer"),
    ],
)
def test_a_text_that_is_no_such_value_is_a_misfit(text, reason):
    with pytest.raises(Misfit, match=reason):
        AnswerType[int](int).read(text)


def test_a_type_without_a_strict_schema_is_refused():
    with pytest.raises(TypeError, match="output_type: any value has no strict schema"):
        AnswerType[Any](list[Any])
