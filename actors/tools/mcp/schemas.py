"""Reduce the schema of a tool's input to the part of JSON Schema that every provider accepts.

Kept are type, description, enumeration, items, properties, required, additional properties and `anyOf`. A schema without a type
gets one, inferred from its other keywords. The rules are those of Codex 0.124, observed by sending it schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

Schema = dict[str, Any]

_TYPES: Final = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
_NUMERIC: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OBJECT: Final = ("properties", "required", "additionalProperties")
_ARRAY: Final = ("items", "prefixItems")
_DEEPEST: Final = 64


def input_schema(schema: object) -> Schema:
    """The parameters of a function, from a tool's `inputSchema`."""
    given = cast("Mapping[str, Any]", schema) if isinstance(schema, dict) else dict[str, Any]()
    cut = _cut({"type": "object", **given}, 0)
    cut.setdefault("properties", {})
    return cut


def _cut(schema: object, depth: int) -> Schema:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return {"type": "string"}  # `true`, `false`, or no schema
    given = cast("Mapping[str, Any]", schema)
    kept: Schema = {}
    if (kind := _type(given)) is not None:
        kept["type"] = kind
    if isinstance(given.get("description"), str):
        kept["description"] = given["description"]
    if isinstance(given.get("enum"), list):
        kept["enum"] = given["enum"]
    elif "const" in given:
        kept["enum"] = [given["const"]]
    kinds = kind if isinstance(kind, list) else [kind]
    if "array" in kinds:
        kept["items"] = _cut(given.get("items"), depth + 1)
    if "object" in kinds or isinstance(given.get("properties"), dict):
        properties: object = given.get("properties")
        members = cast("Mapping[str, object]", properties) if isinstance(properties, dict) else dict[str, object]()
        kept["properties"] = {name: _cut(members[name], depth + 1) for name in sorted(members)}
    if isinstance(given.get("required"), list):
        kept["required"] = given["required"]
    additional = given.get("additionalProperties")
    if isinstance(additional, bool):
        kept["additionalProperties"] = additional
    elif additional is not None:
        kept["additionalProperties"] = _cut(additional, depth + 1)
    if isinstance(given.get("anyOf"), list):
        kept["anyOf"] = [_cut(member, depth + 1) for member in given["anyOf"]]
    return kept


def _type(schema: Mapping[str, Any]) -> str | list[str] | None:
    """The type of a schema, or the inferred one; None for a schema with only `anyOf`."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [name for name in cast("list[object]", kind) if name in _TYPES]
        return kinds or "string"
    if kind in _TYPES:
        return cast(str, kind)
    if any(key in schema for key in _OBJECT):
        return "object"
    if any(key in schema for key in _ARRAY):
        return "array"
    if "enum" in schema or "const" in schema or "format" in schema:
        return "string"
    if any(key in schema for key in _NUMERIC):
        return "number"
    return None if isinstance(schema.get("anyOf"), list) else "string"
