"""Member by member and by generated code, each class of the protocol is unstructured to the same JSON."""

import random
from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs
import cattrs.gen
import orjson
import pytest

import spindle.rpc.protocol as protocol
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol import converter
from spindle.rpc.protocol.shapes import ABSENT, Absent, Absolute

JSON: Sequence[Any] = (None, True, 7, 1.5, "é", [1, {"thread_id": [None]}], {"threadId": {"a": []}})


def wire_classes() -> list[type]:
    found: set[type] = set()
    for module in iter_modules(protocol.__path__, f"{protocol.__name__}."):
        members = vars(import_module(module.name)).values()
        found |= {each for each in members if isinstance(each, type) and each.__module__ == module.name}
    wire = (each for each in found if attrs.has(each) and not each.__module__.endswith((".shapes", ".values")))
    return sorted(wire, key=lambda each: (each.__module__, each.__name__))


def instance(cls: Any, draw: random.Random) -> Any:
    """An instance with a drawn value for each attribute, or its default."""
    given = {}
    for field in attrs.fields(cls):
        if field.init and (field.default is attrs.NOTHING or draw.random() < 0.6):
            given[field.alias] = value(field.type, draw)
    return cls(**given)


def value(kind: Any, draw: random.Random) -> Any:
    """A value of an annotated type."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return "/a/path" if any(isinstance(note, Absolute) for note in args[1:]) else value(args[0], draw)
    if origin in (Union, UnionType):
        return value(draw.choice(args), draw)
    if origin is Literal:
        return draw.choice(args)
    if origin in (Sequence, tuple):
        return [value(args[0], draw) for _ in range(draw.randrange(3))]
    if origin in (Mapping, dict):
        return {f"key_{number}": value(args[1], draw) for number in range(draw.randrange(3))}
    if attrs.has(kind):
        return instance(kind, draw)
    if kind in (object, Any):
        return draw.choice(JSON)
    return {str: "text", int: 3, float: 0.5, bool: True, NoneType: None, Absent: ABSENT}[kind]


@pytest.mark.parametrize("cls", wire_classes(), ids=lambda each: each.__name__)
def test_both_ways_give_the_same(cls: type, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(cls.__name__)
    given = [instance(cls, draw) for _ in range(8)]
    monkeypatch.setattr(converter, "_FEW", len(given) * 1000)
    by_member = [*map(converter.make_converter().unstructure, given)]
    monkeypatch.setattr(converter, "_FEW", 0)
    by_code = [*map(converter.make_converter().unstructure, given)]
    assert by_member == by_code
    # the members have the same order
    assert [*map(orjson.dumps, by_member)] == [*map(orjson.dumps, by_code)]


def test_code_is_generated_after_a_few_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    generated: list[str] = []
    make = cattrs.gen.make_dict_unstructure_fn

    def counted(cls: Any, *args: Any, **options: Any) -> Any:
        generated.append(cls.__name__)
        return make(cls, *args, **options)

    @attrs.frozen
    class Inner:
        thread_id: str = "t"

    @attrs.frozen
    class Outer:
        inner: Inner = attrs.field(factory=Inner)
        never: Inner | None = None

    monkeypatch.setattr(converter, "make_dict_unstructure_fn", counted)
    monkeypatch.setattr(converter, "_FEW", 3)
    unstructure = converter.make_converter().unstructure
    for _ in range(3):
        assert unstructure(Outer()) == {"inner": {"threadId": "t"}, "never": None}
    assert generated == []
    for _ in range(3):
        assert unstructure(Outer()) == {"inner": {"threadId": "t"}, "never": None}
    assert sorted(generated) == ["Inner", "Outer"]


def test_values_are_not_compared() -> None:
    @frozen
    class Inner:
        number: int

    @frozen
    class Outer:
        inner: Inner
        other: Inner | None = attrs.field(default=None, metadata={"omit_none": True})

    assert converter.unstructure(Outer(Inner(1), Inner(2))) == {"inner": {"number": 1}, "other": {"number": 2}}
    unwritten = type(vars(Outer)["__eq__"])
    assert type(vars(Inner)["__eq__"]) is unwritten is not FunctionType, "attrs had to write a comparison"
