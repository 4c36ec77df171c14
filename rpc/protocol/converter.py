"""Convert between JSON values and the protocol's attrs classes.

An attribute `thread_id` is the member `threadId` on the wire. Attribute metadata changes this:

- ``{"wire": "text_elements"}`` names the member;
- ``{"omit_none": True}`` leaves the member out while the attribute has its default (None everywhere it is used);
- ``{"experimental": True}`` marks a parameter that needs the ``experimentalApi`` capability; see `catalog`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import attrs
import orjson
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from spindle.rpc.protocol.invalid import InvalidValue
from spindle.rpc.protocol.shapes import ABSENT, U32, Absent, AbsolutePath, Bounds, JsonObject, USize, wire_name
from spindle.rpc.protocol.structuring import (
    by_annotated,
    by_bounds,
    by_class,
    by_literal,
    by_mapping,
    by_optional,
    by_sequence,
    structure_bool,
    structure_float,
    structure_str,
)

__all__ = [
    "ABSENT",
    "U32",
    "Absent",
    "AbsolutePath",
    "InvalidValue",
    "JsonObject",
    "USize",
    "encode",
    "make_converter",
    "structure",
    "unstructure",
]

T = TypeVar("T")

_JSON: Final[tuple[Any, ...]] = (Any, object)
_FLAT: Final = frozenset((str, int, bool, float, NoneType))
_NOTHING: Final = object()
_FEW: Final = 100


def make_converter() -> Converter:
    """Build the converter with every hook of the protocol registered."""
    converter = Converter(detailed_validation=False)
    converter.register_unstructure_hook_func(_is_json, _same)
    converter.register_unstructure_hook_func(_is_json_object, _same)
    converter.register_unstructure_hook_factory(_is_sequence, _unstructure_sequence)
    converter.register_unstructure_hook_factory(attrs.has, _unstructure_class)

    converter.register_structure_hook_func(_is_json, lambda value, _: value)
    converter.register_structure_hook(str, structure_str)
    converter.register_structure_hook(bool, structure_bool)
    converter.register_structure_hook(int, by_bounds(Bounds("i64", -(2**63), 2**63 - 1)))
    converter.register_structure_hook(float, structure_float)
    converter.register_structure_hook_factory(_is_literal, by_literal)
    converter.register_structure_hook_factory(_is_sequence, by_sequence)
    converter.register_structure_hook_factory(_is_mapping, by_mapping)
    converter.register_structure_hook_factory(_is_union, by_optional)
    converter.register_structure_hook_factory(_is_annotated, by_annotated)
    converter.register_structure_hook_factory(attrs.has, by_class)
    return converter


def _is_json(t: Any) -> bool:
    return t in _JSON


def _is_literal(t: Any) -> bool:
    origin: Any = get_origin(t)
    return origin is Literal


def _is_union(t: Any) -> bool:
    return get_origin(t) in (Union, UnionType)


def _is_annotated(t: Any) -> bool:
    return get_origin(t) is Annotated


def _is_sequence(t: Any) -> bool:
    return get_origin(t) is Sequence


def _is_mapping(t: Any) -> bool:
    return get_origin(t) is Mapping


def _is_json_object(t: Any) -> bool:
    return _is_mapping(t) and get_args(t)[1] in (object, str)


def _same(value: Any) -> Any:
    return value


def _unstructure_sequence(t: Any, converter: Converter) -> Callable[[Any], Any]:
    (element,) = get_args(t)
    if element in (object, str, int, bool, float) or get_origin(element) is Literal:
        return _same  # orjson encodes lists and tuples equally
    hook = converter.get_unstructure_hook(element)
    return lambda values: [hook(value) for value in values]


def _unstructure_class(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    """Unstructure member by member; after `_FEW` instances by generated code, which takes longer to generate than they did."""
    rows: list[tuple[str, str, object, Any]] = []
    hooks: dict[str, Callable[[Any], Any]] = {}  # of the members that have had a value that needs one
    generated: Callable[[Any], Any] | None = None
    uses = 0

    def unstructure_class(instance: Any) -> Any:
        nonlocal generated, uses
        if generated is not None:
            return generated(instance)
        uses += 1
        if uses == 1:
            rows.extend((each.name, wire_name(each), _omitted(each), each.type) for each in attrs.fields(cls))
            rows.sort(key=lambda row: row[2] is not _NOTHING)  # generated code also has those last that may be omitted
        elif uses > _FEW:
            generated = _generate(cls, converter)
        members: dict[str, Any] = {}
        for name, wire, omitted, kind in rows:
            value = getattr(instance, name)
            if value is omitted:  # None or ABSENT; an equality would have attrs write that of the value's class
                continue
            if type(value) not in _FLAT:
                hook = hooks.get(name)
                if hook is None:
                    hook = hooks[name] = converter.get_unstructure_hook(kind)
                value = hook(value)
            members[wire] = value
        return members

    return unstructure_class


def _omitted(attribute: "attrs.Attribute[Any]") -> object:
    """The value with which the member is left out; `_NOTHING` if it is always sent."""
    omitted = attribute.default is ABSENT or attribute.metadata.get("omit_none")
    return attribute.default if omitted else _NOTHING


def _generate(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    overrides: dict[str, Any] = {
        attribute.name: override(rename=wire_name(attribute), omit_if_default=_omitted(attribute) is not _NOTHING, omit=False)
        for attribute in attrs.fields(cls)
    }
    return make_dict_unstructure_fn(cls, converter, _cattrs_include_init_false=True, **overrides)


_CONVERTER: Final = make_converter()
_unstructure: Final = _CONVERTER.unstructure


def structure(value: object, cls: type[T]) -> T:
    """Structure a decoded JSON value as `cls`. Raises `InvalidValue`."""
    return _CONVERTER.structure(value, cls)


def unstructure(obj: object) -> Any:
    """Convert an attrs object to JSON values: dicts, lists, strings, numbers.

    Attributes declared as plain JSON (`object`, `JsonObject`) are kept unchanged.
    """
    return _unstructure(obj)


def encode(obj: object) -> bytes:
    """Encode `obj` (an attrs object, JSON values that contain such, or an `orjson.Fragment`) as JSON, without a newline."""
    return orjson.dumps(obj, default=_unstructure)
