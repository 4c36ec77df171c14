"""JSON into values and back: a round trip for values of every type, agreement with a validator of JSON schemas, failures."""

import json
import typing
from collections import deque
from collections.abc import Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spindle.actors.tools.functions.checking import fits
from spindle.actors.tools.functions.conversion import Conversion, Misfit
from spindle.actors.tools.functions.schema import NoSchema

from .types import Book, Even, Hotel, Leg, Level, Loose, Page, Place, Point, Trip, Unit, Word

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**53), 2**53)
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=-30))])
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=5),
    int: WHOLE,
    float: NUMBERS,
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.datetimes(timezones=ZONES),
    date: st.dates(),
    time: st.times(timezones=ZONES),
    timedelta: st.timedeltas(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    UUID: st.uuids(),
    Path: st.sampled_from([Path("a/b"), Path("/"), Path("ä")]),
    Unit: st.sampled_from(Unit),
    Level: st.sampled_from(Level),
    Literal["a", 2]: st.sampled_from(["a", 2]),
    Leg: st.builds(Leg, NUMBERS),
    Point: st.builds(Point, NUMBERS, NUMBERS),
    Place: st.recursive(
        st.builds(Place, st.text(max_size=3)),
        lambda inner: st.builds(Place, st.text(max_size=3), st.lists(inner, max_size=2).map(tuple), code=WHOLE),
        max_leaves=4,
    ),
    Trip: st.builds(Trip, st.builds(Leg, NUMBERS), WHOLE, st.lists(st.text(max_size=2), max_size=2)),
    Hotel: st.fixed_dictionaries({"stars": WHOLE}, optional={"until": st.dates()}),
    Loose: st.fixed_dictionaries({"pause": st.timedeltas()}, optional={"note": st.text(max_size=3)}),
    Book: st.builds(Book, st.lists(st.text(max_size=2), max_size=2), st.just("book")),
    Page[int]: st.builds(Page, st.lists(WHOLE, max_size=3)),
}
KINDS = [*LEAVES]
HASHABLE = [str, int, date, UUID, Unit, Point, Place]


def lists(kind):
    return st.lists(LEAVES[kind], max_size=3)


LIST: Any = list
MAPPING: Any = Mapping
SET: Any = frozenset
TUPLE: Any = tuple
CASES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    *LEAVES.items(),
    *((LIST[kind], lists(kind)) for kind in KINDS),
    *((MAPPING[str, kind], st.dictionaries(st.text(max_size=2), LEAVES[kind], max_size=2)) for kind in KINDS),
    *((SET[kind], st.frozensets(LEAVES[kind], max_size=2)) for kind in HASHABLE),
    *((TUPLE[kind, int], st.tuples(LEAVES[kind], WHOLE)) for kind in KINDS),
    *((kind | None, LEAVES[kind] | st.none()) for kind in KINDS if kind is not type(None)),
    *((kind | list[int], LEAVES[kind] | st.lists(WHOLE, max_size=2)) for kind in KINDS),
    (deque[Point], lists(Point).map(deque)),
    (
        Page[int] | Book | Leg | Hotel | str | bool,
        st.one_of(LEAVES[Page[int]], LEAVES[Book], LEAVES[Leg], LEAVES[Hotel], st.text(), st.booleans()),
    ),
    (int | float | str | None, WHOLE | NUMBERS | st.text() | st.none()),
]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(CASES), st.booleans())
def test_a_value_comes_back_as_it_was(data, case, strict):
    kind, strategy = case
    conversion = Conversion[Any](kind, strict=strict)
    value = data.draw(strategy)
    [written] = json.loads(conversion.text([value]))
    if strict:
        assume(lacks_nothing(value))
        written = with_pairs(written, conversion.schema, conversion.schema.get("$defs", {}))
    jsonschema.validate(written, conversion.schema, cls=jsonschema.Draft202012Validator)
    read = conversion.read(written)
    assert read == value
    assert isinstance(read, type(value))


def lacks_nothing(value):
    """Whether the dictionaries of the two TypedDicts in it have what is not required."""
    if isinstance(value, list):
        return all(map(lacks_nothing, value))
    if isinstance(value, tuple | dict) and not hasattr(value, "_fields"):
        inner = [*value.values()] if isinstance(value, dict) else [*value]
        complete = not isinstance(value, dict) or len(value) != 1 or not {"stars", "pause"} & value.keys()
        return complete and all(map(lacks_nothing, inner))
    return True


def with_pairs(value, schema, defs):
    """A value as a strict schema has it: mappings as lists of pairs, members with defaults given."""
    while "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict) and schema.get("type") == "array":
        inner = schema["items"]["properties"]["value"]
        return [{"key": key, "value": with_pairs(one, inner, defs)} for key, one in value.items()]
    if isinstance(value, dict) and "properties" in schema:
        return {key: with_pairs(value[key], one, defs) for key, one in schema["properties"].items()}
    return value


NAMES = ["city", "near", "miles", "stars", "to", "days", "x", "rows", "kind", "other"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 2.5, "a", "celsius", "book", "page", "x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from([kind for kind, _ in CASES]), st.booleans(), JSON)
def test_what_fits_is_what_a_validator_of_json_schemas_accepts(data, kind, strict, value):
    schema = Conversion[Any](kind, strict=strict).schema
    schema = json.loads(json.dumps(schema).replace('"pattern"', '"$comment"'))  # of a Decimal, which is checked later
    accepted = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert fits(value, schema, schema.get("$defs", {})) is accepted


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        (int, "1", "the value must be an integer"),
        (int, True, "the value must be an integer"),
        (int, 1.5, "the value must be an integer"),
        (str, 1, "the value must be a string"),
        (float, "1", "the value must be a number"),
        (bool, 1, "the value must be a boolean"),
        (list[str], "abc", "the value must be a list"),
        (Level, True, "the value must be an integer"),
        (Unit, "kelvin", "the value must be one of 'celsius', 'fahrenheit'"),
        (Literal["a"], "b", "the value must be 'a'"),
        (Literal[True, 2], 1, "the value must be one of True, 2"),
        (tuple[int, str], [1], "the value must have 2 members"),
        (tuple[int, int], [1, 2, 3], "the value must have 2 members"),
        (tuple[int, str], ["1", 1], "[0]: must be an integer; [1]: must be a string"),
        (dict[str, tuple[int, date]], {"a": [1, "b"]}, "a[1]: must be a date as in ISO 8601, such as 2030-12-31"),
        (Trip, {}, "to: is missing"),
        (Trip, {"to": {"miles": 1}, "days": "2"}, "days: must be an integer"),
        (Trip, {"to": {"miles": "far"}, "tags": ["a", 1]}, "to.miles: must be a number; tags[1]: must be a string"),
        (Trip, {"to": {"miles": 1}, "hours": 1}, "hours: is not known; known are to, days, tags"),
        (Mapping[str, int], {"a": 1, "b": "c"}, "b: must be an integer"),
        (Hotel, {"stars": 5, "until": "never"}, "until: must be a date as in ISO 8601, such as 2030-12-31"),
        (list[Even], [{"number": 2}, {"number": 3}], "[1]: must be even"),
        (int | str, None, "the value must be an integer or a string"),
        (Trip | None, {"to": 1}, "to: must be an object"),
        (Trip | Hotel | None, {"stars": "many"}, "stars: must be an integer"),
        (Trip | Hotel, [], "the value must be an object"),
        (Point | Literal["here"], "there", "the value must be an object or 'here'"),
        (timedelta, "1h", "the value must be a duration as in ISO 8601, such as PT1H30M"),
        (timedelta, "P", "the value must be a duration as in ISO 8601, such as PT1H30M"),
        (timedelta, "P1DT", "the value must be a duration as in ISO 8601, such as PT1H30M"),
        (Decimal, "NaN", "the value must be a decimal number as text"),
        (Decimal, "one", "the value must be a decimal number as text"),
        (UUID, "1", "the value must be a UUID"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_path(kind, given, problem):
    with pytest.raises(Misfit) as refused:
        Conversion[Any](kind).read(given)
    assert str(refused.value) == problem


@pytest.mark.parametrize(("given", "kind"), [(1, int), (1.0, float), (True, bool), ("1", str)])
def test_a_plain_value_in_a_union_stays_as_it_is(given, kind):
    read = Conversion[Any](float | str | int | bool).read(given)
    assert (read, type(read)) == (given, kind)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        *((kind, [1, 1], [1, 1]) for kind in (Sequence[int], MutableSequence[int], typing.List[int])),  # noqa: UP006
        *((kind, [1, 1], {1}) for kind in (AbstractSet[int], MutableSet[int])),
        *((kind, {"a": 1}, {"a": 1}) for kind in (Mapping[str, int], MutableMapping[str, int])),
    ],
)
def test_abstract_containers_are_lists_sets_and_dictionaries(kind, given, value, strict):
    if strict and isinstance(given, dict):
        given = [{"key": name, "value": one} for name, one in given.items()]
    read = Conversion[Any](kind, strict=strict).read(given)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("kind", [list, set, tuple, frozenset, deque, Sequence, MutableSequence, AbstractSet, MutableSet])
def test_a_container_of_anything(kind):
    assert [*Conversion[Any](kind).read(["a"])] == ["a"]


@pytest.mark.parametrize("kind", [dict, Mapping, MutableMapping])
def test_a_mapping_to_anything(kind):
    assert Conversion[Any](kind).read({"a": [1]}) == {"a": [1]}


def test_at_most_ten_problems_are_named():
    with pytest.raises(Misfit) as refused:
        Conversion[Any](list[int]).read(["a"] * 1000)
    assert str(refused.value).count("must be an integer") == 10


def test_a_problem_of_a_strict_mapping_names_the_pair():
    with pytest.raises(Misfit, match=r"^\[0\]\.value: must be a date"):
        Conversion[Any](dict[str, date], strict=True).read([{"key": "a", "value": "never"}])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PT1H30M", timedelta(hours=1, minutes=30)),
        ("P2W", timedelta(weeks=2)),
        ("-P1DT0.25S", -timedelta(days=1, seconds=0.25)),
    ],
)
def test_a_duration_has_the_form_of_iso_8601(text, value):
    assert Conversion[timedelta](timedelta).read(text) == value


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        (Unit.C, "celsius"),
        (Word.YES, "yes"),
        (date(2020, 1, 2), "2020-01-02"),
        (Page([1]), '{"rows":[1],"kind":"page"}'),
        ({"unit": Unit.C, 1: {2}}, '{"unit":"celsius","1":[2]}'),
        ([Point(1, 2), Leg(3)], '[{"x":1,"y":2},{"miles":3}]'),
        (Place("Oslo", (Place("Bergen"),)), '{"city":"Oslo","near":[{"city":"Bergen","near":[],"code":7}],"code":7}'),
        (frozenset([Even(2)]), '[{"number":2}]'),
        (deque([date(2020, 1, 2)]), '["2020-01-02"]'),
        ((Decimal("1.50"), Path("a"), timedelta(0)), '["1.50","a","P0DT0S"]'),
    ],
)
def test_a_result_of_any_of_the_types_is_text_for_the_model(result, text):
    written = Conversion[Any](Any).text(result)
    assert (written, type(written)) == (text, str)


@pytest.mark.parametrize("result", [b"x", [b"x"], object()])
def test_a_result_without_a_form_in_json_is_refused(result):
    with pytest.raises(TypeError):
        Conversion[Any](Any).text(result)


class Model:
    """A model as pydantic's are, without pydantic."""

    def __init__(self, size):
        self.size = size

    @staticmethod
    def model_json_schema():
        inner = {"type": "object", "title": "In", "properties": {"size": {"type": "integer", "default": 1}}}
        return {"type": "object", "title": "M", "properties": {"in": {"$ref": "#/$defs/In"}}, "$defs": {"In": inner}}

    @classmethod
    def model_validate(cls, value):
        if value["in"]["size"] < 0:
            error: Any = ValueError()
            error.errors = lambda: [{"loc": ("in", "size"), "msg": "must not be negative"}]
            raise error
        return cls(value["in"]["size"])

    def model_dump(self, *, mode, by_alias):
        assert (mode, by_alias) == ("json", True)
        return {"in": {"size": self.size}}


def test_a_model_of_pydantic_keeps_its_own_schema_and_checks_itself():
    conversion = Conversion[list[Model]](list[Model])
    assert conversion.schema == {
        "type": "array",
        "items": {"type": "object", "properties": {"in": {"$ref": "#/$defs/Model_In"}}},
        "$defs": {"Model_In": {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}}},
    }
    assert [one.size for one in conversion.read([{"in": {"size": 3}}])] == [3]
    assert conversion.text([Model(4)]) == '[{"in":{"size":4}}]'
    with pytest.raises(Misfit, match=r"^\[0\]\.in\.size: must not be negative$"):
        conversion.read([{"in": {"size": -1}}])
    with pytest.raises(Misfit, match=r"^\[0\]\.in\.size: must be an integer$"):
        conversion.read([{"in": {"size": "3"}}])
    either = Conversion[Any](list[Model | None])
    either.read([None, {"in": {"size": 3}}])
    assert [*either.schema["$defs"]] == ["Model_In"]
    open_model = type("Open", (Model,), {"model_json_schema": lambda: {"type": "object", "additionalProperties": {}}})
    with pytest.raises(NoSchema, match="open objects has no strict schema"):
        Conversion[Any](open_model, strict=True)
    assert Conversion[Model](Model, strict=True).schema["$defs"]["Model_In"] == {
        "type": "object",
        "properties": {"size": {"type": "integer"}},
        "required": ["size"],
        "additionalProperties": False,
    }


def test_real_models_of_pydantic():
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", size=(int, 1))
    outer = pydantic.create_model("Outer", inner=(inner, ...), when=(date, ...))
    conversion = Conversion[Any](outer | None)
    jsonschema.Draft202012Validator.check_schema(conversion.schema)
    read = conversion.read({"inner": {"size": 2}, "when": "2020-01-02"})
    assert (read.inner.size, read.when) == (2, date(2020, 1, 2))
    assert conversion.text(read) == '{"inner":{"size":2},"when":"2020-01-02"}'
    with pytest.raises(Misfit, match="when: Input should be a valid date"):
        conversion.read({"inner": {}, "when": "never"})
