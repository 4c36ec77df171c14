"""Schemas of types: what each becomes, which unions can be told apart, what is refused."""

import enum
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pytest

from spindle.actors.tools.functions.schema import NoSchema, Schemas

from .types import Book, Even, Hotel, Leg, Level, Loose, Page, Place, Point, Trip, Unit

Miles = NewType("Miles", float)
Counted = NewType("Counted", Annotated[int, "how much"])
TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}


def schema(kind, **options):
    made = Schemas(**options).document(kind)
    jsonschema.Draft202012Validator.check_schema(made)
    return made


def closed(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (str, TEXT),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (float | None, {"anyOf": [NUMBER, {"type": "null"}]}),
        (Optional[str], {"anyOf": [TEXT, {"type": "null"}]}),  # noqa: UP045
        (list[int], {"type": "array", "items": WHOLE}),
        (list, {"type": "array", "items": {}}),
        (tuple[int, ...], {"type": "array", "items": WHOLE}),
        (tuple[int, int], {"type": "array", "items": WHOLE, "minItems": 2, "maxItems": 2}),
        (
            tuple[int, str, int],
            {
                "type": "array",
                "items": {"anyOf": [WHOLE, TEXT]},
                "minItems": 3,
                "maxItems": 3,
                "description": "in this order: int, str, int",
            },
        ),
        (frozenset[str], {"type": "array", "items": TEXT}),
        (Sequence[float], {"type": "array", "items": NUMBER}),
        (Mapping[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (dict, {"type": "object", "additionalProperties": {}}),
        (Literal["a", 2], {"type": ["string", "integer"], "enum": ["a", 2]}),
        (Literal[Unit.C], {"type": "string", "enum": ["celsius"]}),
        (Unit, {"type": "string", "enum": ["celsius", "fahrenheit"]}),
        (Level, {"type": "integer", "enum": [1, 2]}),
        (Any, {}),
        (object, {}),
        (Miles, NUMBER),
        (Annotated[int, "how many"], WHOLE | {"description": "how many"}),
        (Annotated[Annotated[int, "how much"], "how many"], WHOLE | {"description": "how many"}),
        (Annotated[Counted, "how many"], WHOLE | {"description": "how many"}),
        (Annotated[int, 17, "how many"], WHOLE | {"description": "how many"}),
        (Path, TEXT),
        (datetime, TEXT | {"format": "date-time"}),
        (date, TEXT | {"format": "date"}),
        (time, TEXT | {"format": "time"}),
        (timedelta, TEXT | {"format": "duration"}),
        (UUID, TEXT | {"format": "uuid"}),
        (Decimal, TEXT | {"pattern": r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$"}),
        (Hotel, closed(["stars"], stars=WHOLE, until=TEXT | {"format": "date"})),
        (Loose, closed(["pause"], pause=TEXT | {"format": "duration"}, note=TEXT)),
        (Point, closed(["x"], x=NUMBER, y=NUMBER | {"default": 0.5})),
        (
            Trip,
            closed(
                ["to"],
                to=closed(["miles"], miles=NUMBER) | {"description": "One way."},
                days=WHOLE | {"default": 1},
                tags={"type": "array", "items": TEXT},
            ),
        ),
        (
            Page[Point],
            closed(
                ["rows"],
                rows={"type": "array", "items": closed(["x"], x=NUMBER, y=NUMBER | {"default": 0.5})},
                kind={"type": "string", "enum": ["page"], "default": "page"},
            ),
        ),
    ],
)
def test_a_type_becomes_a_json_schema(kind, expected):
    assert schema(kind) == expected


def test_a_class_that_contains_itself_is_a_reference():
    place = closed(
        ["city"],
        city=TEXT | {"description": "its name"},
        near={"type": "array", "items": {"$ref": "#/$defs/Place"}},
        code=WHOLE | {"default": 7},
    )
    made = schema(Annotated[Place, "from here"])
    assert made == {
        "anyOf": [{"$ref": "#/$defs/Place"}],
        "description": "from here",
        "$defs": {"Place": place | {"description": "Where it is."}},
    }


def test_classes_of_one_name_are_told_apart():
    def another():
        class Place:
            __annotations__ = {"inner": "list[Place]"}

        import attrs

        return attrs.define(Place)

    other: Any = another()
    made = Schemas(names={"Place": other})
    both = made.document(tuple[other, Place])
    assert [*both["$defs"]] == ["Place", "Place_2"]
    assert both["items"]["anyOf"] == [{"$ref": "#/$defs/Place"}, {"$ref": "#/$defs/Place_2"}]


@pytest.mark.parametrize(
    "kind",
    [
        str | Literal["a"],
        int | float | str | bool | None,
        datetime | None,
        list[int] | str,
        Leg | Hotel,
        Leg | Trip | int,
        Page[int] | Book,
        Unit | Level,
        Point | list[Point],
        Place | Leg,
    ],
)
def test_a_union_of_what_differs_in_json(kind):
    schema(kind)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Level | float, "Level and float"),
        (date | str, "date and str"),
        (Unit | str, "Unit and str"),
        (list[int] | list[str], "list[int] and list[str]"),
        (Leg | dict[str, int], "Leg and dict[str, int]"),
        (Page[int] | Page[str], "Page"),
        (Even | Literal[1] | Level, "Literal[1] and Level"),
    ],
)
def test_a_union_that_cannot_be_told_apart_is_refused(kind, names):
    with pytest.raises(NoSchema, match="cannot be told apart in JSON") as refused:
        schema(kind)
    assert names in str(refused.value)


class Odd(enum.Enum):
    PAIR = (1, 2)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (bytes, "bytes has no JSON schema, because JSON is text; take a str"),
        (complex, "complex has no JSON schema; allowed are str, int"),
        (dict[int, str], "the keys of a mapping must be str"),
        (Odd, r"Odd has the value \(1, 2\), which is no JSON scalar"),
        (Literal[b"x"], "no JSON scalar"),
        ([int], "has no JSON schema"),
        (list["Unknown"], "has no JSON schema"),  # type: ignore[name-defined]  # noqa: F821
    ],
)
def test_a_type_without_a_schema_is_refused(kind, text):
    with pytest.raises(NoSchema, match=text):
        schema(kind)


def test_an_alias_that_contains_itself_is_refused():
    class TypeAliasType:  # as that of Python 3.12
        __value__: Any

    tree = TypeAliasType()
    tree.__value__ = dict[str, tree]  # type: ignore[valid-type]
    with pytest.raises(NoSchema, match="contains itself; write it as a class"):
        schema(tree)


def test_a_refusal_names_the_member():
    import attrs

    inner: Any = attrs.make_class("Inner", {"raw": attrs.field(type=bytes)})
    outer = attrs.make_class("Outer", {"inner": attrs.field(type=list[inner])})
    with pytest.raises(NoSchema, match=r"^inner\.raw: bytes has no JSON schema"):
        schema(outer)


def subset(made):
    """Every schema inside `made` is of the subset that providers hold a model to."""
    if isinstance(made, list):
        return all(map(subset, made))
    if not isinstance(made, dict):
        return True
    if made.get("type") == "object" and not (
        made["additionalProperties"] is False and made["required"] == [*made["properties"]]
    ):
        return False
    if {"default", "prefixItems", "oneOf", "allOf", "title"} & made.keys() or ("$ref" in made and len(made) > 1):
        return False
    inner = [*made.get("properties", {}).values(), *made.get("$defs", {}).values()]
    return subset([*inner, made.get("items"), made.get("anyOf")])


@pytest.mark.parametrize("kind", [Trip, list[Place], Point, Loose, Page[Hotel] | Book | None, dict[str, Leg]])
def test_a_strict_schema_closes_every_object_and_requires_every_member(kind):
    made = schema(kind, strict=True)
    assert made.pop("$defs", {}).keys() <= {"Place"}
    assert subset(made)
    assert not subset(schema(Trip))


def test_a_strict_schema_has_pairs_for_a_mapping_and_no_open_value():
    assert schema(dict[str, int], strict=True) == {
        "type": "array",
        "items": closed(["key", "value"], key=TEXT, value=WHOLE),
    }
    with pytest.raises(NoSchema, match="any value has no strict schema"):
        schema(list[Any], strict=True)
