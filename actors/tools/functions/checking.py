"""Checks JSON values against the schemas that `schema` makes, and says where they do not fit.

Only what a schema says of types and of the members of objects is checked here. The text of a date, and what a class demands
of its members, is checked when the value is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

Path: TypeAlias = tuple[str | int, ...]
Problem: TypeAlias = tuple[Path, str]

_WORDS: Final = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


def problems(value: object, schema: Mapping[str, Any], defs: Mapping[str, Any], path: Path = ()) -> Iterator[Problem]:
    """Each place where `value` does not fit, with the reason. Nothing if it fits."""
    while "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    for arms in (schema.get("anyOf"), schema.get("oneOf")):
        if arms is not None:
            yield from _union(value, arms, defs, path)
    if (kinds := _kinds(schema)) and not any(_is(value, kind) for kind in kinds):
        yield path, f"must be {' or '.join(_WORDS[kind] for kind in kinds)}"
    elif "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield path, f"must be {_any_of([repr(one) for one in schema['enum']])}"
    elif isinstance(value, dict) and "object" in kinds:
        yield from _object(cast("dict[str, object]", value), schema, defs, path)
    elif isinstance(value, list) and "array" in kinds:
        yield from _array(cast("list[object]", value), schema, defs, path)


def fits(value: object, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> bool:
    """Whether `value` has no problems."""
    return next(problems(value, schema, defs), None) is None


def _union(value: object, arms: Sequence[Any], defs: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    """The problems with the arm that comes closest of those that have the type of the value, or what the value may be."""
    found = [list(problems(value, arm, defs, path)) for arm in arms]
    if not all(found):
        return
    alike = [its for its in found if any(where != path or not why.startswith("must be ") for where, why in its)]
    if alike:
        yield from min(alike, key=len)
    else:
        whys = dict.fromkeys(why.removeprefix("must be ") for its in found for _, why in its)
        yield path, f"must be {' or '.join(whys)}"


def _object(value: dict[str, object], schema: Mapping[str, Any], defs: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    more: Any = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield (*path, name), "is missing"
    for name, one in value.items():
        if name in properties:
            yield from problems(one, properties[name], defs, (*path, name))
        elif more is False:
            yield (*path, name), f"is not known; known are {', '.join(properties)}" if properties else "is not known"
        elif isinstance(more, dict):
            yield from problems(one, cast("dict[str, Any]", more), defs, (*path, name))


def _array(value: list[object], schema: Mapping[str, Any], defs: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < least or (most is not None and len(value) > most):
        yield path, f"must have {least} members" if least == most else f"must have {least} to {most or 'any number of'} members"
    for number, one in enumerate(value):
        yield from problems(one, schema.get("items", {}), defs, (*path, number))


def _kinds(schema: Mapping[str, Any]) -> Sequence[str]:
    kinds: Any = schema.get("type", ())
    return [kinds] if isinstance(kinds, str) else kinds


def _is(value: object, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return _is_number(value) and float(cast("float", value)).is_integer()
        case "number":
            return _is_number(value)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: object, one: object) -> bool:
    return isinstance(value, bool) == isinstance(one, bool) and value == one


def _any_of(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"
