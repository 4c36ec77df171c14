"""The JSON schemas of Python types.

A model is offered them as the parameters of a function, or has to answer with such a value. A strict schema is the second: the
subset of JSON Schema that providers hold a model to. All members are required there, every object is closed, and a mapping is a
list of its pairs.
"""

from __future__ import annotations

import enum
import inspect
from collections import deque
from collections.abc import Hashable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path, PurePath
from typing import Any, Final, Literal, TypeAlias, cast, get_args, get_origin
from uuid import UUID

from spindle.actors.tools.functions.members import (
    NO_DEFAULT,
    Member,
    bare,
    is_namedtuple,
    is_plain,
    is_pydantic,
    is_union,
    members,
    pairs_of,
)

Schema: TypeAlias = dict[str, Any]

SCALARS: Final[Mapping[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    None: "null",
    type(None): "null",
}
TEXTS: Final[Mapping[Any, Schema]] = {
    datetime: {"format": "date-time"},
    date: {"format": "date"},
    time: {"format": "time"},
    timedelta: {"format": "duration"},
    UUID: {"format": "uuid"},
    Decimal: {"pattern": r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$"},
    Path: {},
    PurePath: {},
}
"""Types that are text in JSON, with what else the schema says of the text."""
ABSTRACT: Final[Mapping[Any, Any]] = {
    Sequence: list,
    MutableSequence: list,
    AbstractSet: set,
    MutableSet: set,
    Mapping: dict,
    MutableMapping: dict,
}
"""Types of containers, with the classes that their values are of."""
TABLES: Final = (dict, Mapping, MutableMapping)
LISTS: Final = (list, tuple, set, frozenset, deque, *(kind for kind in ABSTRACT if kind not in TABLES))
_ALLOWED: Final = (
    "allowed are str, int, float, bool, None, Path, datetime, date, time, timedelta, Decimal, UUID, Enum, Literal, lists, "
    "tuples, sets, mappings with str keys, unions, attrs classes, dataclasses, TypedDict, NamedTuple and models of pydantic"
)


class NoSchema(TypeError):
    """A type has no JSON schema. `path` are the names of the members that lead to it."""

    def __init__(self, path: Sequence[str], reason: str) -> None:
        super().__init__(f"{'.'.join(path)}: {reason}" if path else reason)
        self.path, self.reason = path, reason


class Schemas:
    """Makes the schemas of types that are used together. Classes that contain themselves are in `defs`, under their names.

    `names` are the local names that types in strings may use.
    """

    def __init__(self, *, strict: bool = False, names: Mapping[str, Any] | None = None) -> None:
        self.strict, self.names = strict, names or {}
        self.defs: dict[str, Schema] = {}
        self._named: dict[Any, str] = {}
        self._models: dict[Any, Schema] = {}
        self._open: list[Any] = []
        self._path: list[str] = []
        self._unions: list[tuple[Sequence[str], Sequence[Any], Sequence[Schema]]] = []

    def document(self, kind: Any) -> Schema:
        """The whole schema of `kind`. Raises NoSchema."""
        schema = self.of(kind)
        for path, arms, schemas in self._unions:
            self._tell_apart(path, arms, schemas)
        self._unions.clear()
        return schema | {"$defs": self.defs} if self.defs else schema

    def of(self, kind: Any) -> Schema:
        """The schema of `kind`, which may refer to `defs`. Raises NoSchema."""
        try:
            plain, note = bare(kind)
            schema = self._of(plain)
        except RecursionError:
            raise self._refused(f"{_name(kind)} contains itself; write it as a class") from None
        except NameError as error:
            raise self._refused(f"{error}; a class in a string is looked for in its module") from error
        if note is None:
            return schema
        return {"anyOf": [schema], "description": note} if "$ref" in schema else schema | {"description": note}

    def _of(self, kind: Any) -> Schema:
        if not isinstance(kind, Hashable):
            raise self._refused(_no_schema(kind))
        origin, args = get_origin(kind) or kind, get_args(kind)
        if kind is Any or kind is object:
            if self.strict:
                raise self._refused("any value has no strict schema; name the type")
            return {}
        if origin is Literal:
            return self._choice(kind, [one.value if isinstance(one, enum.Enum) else one for one in args])
        if is_union(kind):
            schemas = [self.of(arm) for arm in args]
            self._unions.append((tuple(self._path), args, schemas))
            return {"anyOf": schemas}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return self._choice(kind, [member.value for member in kind])
        if is_namedtuple(kind):
            return self._class(kind)
        if origin in LISTS:
            return self._list(origin, args)
        if origin in TABLES:
            return self._table(args)
        if kind in SCALARS:
            return {"type": SCALARS[kind]}
        if kind in TEXTS:
            return {"type": "string", **TEXTS[kind]}
        if is_pydantic(kind):
            return self._pydantic(kind)
        return self._class(kind)

    def _choice(self, kind: Any, values: Sequence[Any]) -> Schema:
        found: list[str] = []
        for value in values:
            if type(value) not in SCALARS:
                raise self._refused(f"{_name(kind)} has the value {value!r}, which is no JSON scalar")
            if (word := SCALARS[type(value)]) not in found:
                found.append(word)
        return {"type": found[0] if len(found) == 1 else found, "enum": list(values)}

    def _list(self, origin: Any, args: Sequence[Any]) -> Schema:
        if origin is not tuple or args[1:] == (Ellipsis,):
            return {"type": "array", "items": self.of(args[0] if args else Any)}
        items: list[Schema] = []
        all_items = [self.of(one) for one in args]
        for item in all_items:
            if item not in items:
                items.append(item)
        if not items:
            return {"type": "array", "items": self.of(Any)}
        schema = {"type": "array", "minItems": len(args), "maxItems": len(args)}
        if len(items) == 1:
            return schema | {"items": items[0]}
        order = ", ".join(_name(bare(one)[0]) for one in args)
        return schema | {"items": {"anyOf": items}, "description": f"in this order: {order}"}

    def _table(self, args: Sequence[Any]) -> Schema:
        if args and bare(args[0])[0] is not str:
            raise self._refused("the keys of a mapping must be str")
        kind = args[1] if args else Any
        if self.strict:
            return self.of(pairs_of(kind))
        return {"type": "object", "additionalProperties": self.of(kind)}

    def _class(self, kind: Any) -> Schema:
        """The schema of a class: in place, or a reference if the class contains itself."""
        if kind in self._open or kind in self._named:
            return {"$ref": f"#/$defs/{self._name_of(kind)}"}
        self._open.append(kind)
        try:
            found = members(kind, self.names)
            if found is None:
                raise self._refused(_no_schema(kind))
            schema = self._object(kind, found)
        finally:
            self._open.pop()
        if kind not in self._named:
            return schema
        self.defs[self._named[kind]] = schema
        return {"$ref": f"#/$defs/{self._named[kind]}"}

    def _object(self, kind: Any, found: Sequence[Member]) -> Schema:
        properties: dict[str, Any] = {}
        for member in found:
            self._path.append(member.name)
            properties[member.name] = self.of(member.kind) | self._default(member.default)
            self._path.pop()
        schema = _closed(properties, [one.name for one in found if self.strict or one.required])
        text = inspect.cleandoc(kind.__doc__ or "") if isinstance(kind, type) else ""
        if text and not text.startswith(f"{_name(kind)}("):  # what dataclass and NamedTuple write
            schema["description"] = text
        return schema

    def _default(self, default: Any) -> Schema:
        value = default.value if isinstance(default, enum.Enum) else default
        if self.strict or default is NO_DEFAULT or not isinstance(value, str | int | float):
            return {}
        return {"default": value}

    def _pydantic(self, kind: Any) -> Schema:
        if kind in self._models:
            return self._models[kind]
        given: Schema = dict(kind.model_json_schema())
        inner: Mapping[str, Schema] = given.pop("$defs", {})
        renamed = {f"#/$defs/{name}": f"#/$defs/{self._unused(f'{_name(kind)}_{name}')}" for name in inner}
        for name, schema in inner.items():
            self.defs[renamed[f"#/$defs/{name}"].rpartition("/")[2]] = self._taken(schema, renamed)
        self._models[kind] = self._taken(given, renamed)
        return self._models[kind]

    def _taken(self, schema: Any, renamed: Mapping[str, str]) -> Any:
        """A schema of pydantic with its references renamed; strict if ours are."""
        if isinstance(schema, list):
            return [self._taken(one, renamed) for one in schema]  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(schema, dict):
            return schema
        given = cast("Schema", schema)
        if "$ref" in given:
            return {"$ref": renamed.get(given["$ref"], given["$ref"])}
        taken = {
            name: {key: self._taken(one, renamed) for key, one in value.items()}
            if name == "properties"
            else self._taken(value, renamed)
            for name, value in given.items()
            if name != "title" and not (self.strict and name == "default")
        }
        if self.strict and taken.get("type") == "object":
            if taken.get("additionalProperties", False) is not False:
                raise self._refused("a model of pydantic with open objects has no strict schema")
            taken |= {"required": list(taken.get("properties", ())), "additionalProperties": False}
        return taken

    def _tell_apart(self, path: Sequence[str], arms: Sequence[Any], schemas: Sequence[Schema]) -> None:
        for (one, its), (other, others) in combinations(zip(arms, schemas, strict=True), 2):
            if not (is_plain(one) and is_plain(other)) and self._overlap(its, others):
                names = f"{_name(bare(one)[0])} and {_name(bare(other)[0])}"
                raise NoSchema(path, f"values of {names} cannot be told apart in JSON; give one a required member of its own")

    def _overlap(self, one: Schema, other: Schema) -> bool:
        """Whether a value may fit both."""
        one, other = self.resolved(one), self.resolved(other)
        if "anyOf" in one or "anyOf" in other:
            return any(self._overlap(a, b) for a in one.get("anyOf", [one]) for b in other.get("anyOf", [other]))
        if not (shared := _types(one) & _types(other)):
            return False
        if "enum" in one and "enum" in other:
            return not {*one["enum"]}.isdisjoint(other["enum"])
        return shared != {"object"} or not self._differ(one, other)

    def _differ(self, one: Schema, other: Schema) -> bool:
        """Whether no object fits both: a member that one requires is not in the other, or has other literals there."""
        if one.get("additionalProperties") is not False or other.get("additionalProperties") is not False:
            return False
        needed = {*one.get("required", ()), *other.get("required", ())}
        if not needed <= one["properties"].keys() & other["properties"].keys():
            return True
        pairs = ((self.resolved(one["properties"][name]), self.resolved(other["properties"][name])) for name in needed)
        return any("enum" in a and "enum" in b and {*a["enum"]}.isdisjoint(b["enum"]) for a, b in pairs)

    def resolved(self, schema: Schema) -> Schema:
        """The schema that a reference means."""
        while "$ref" in schema:
            schema = self.defs[schema["$ref"].rpartition("/")[2]]
        return schema

    def _name_of(self, kind: Any) -> str:
        if kind not in self._named:
            self._named[kind] = self._unused(_name(kind))
        return self._named[kind]

    def _unused(self, name: str) -> str:
        name = "".join(letter if letter.isalnum() else "_" for letter in name)
        taken = {*self.defs, *self._named.values()}
        return next(one for one in (name, *(f"{name}_{number}" for number in range(2, 1000))) if one not in taken)

    def _refused(self, reason: str) -> NoSchema:
        return NoSchema(tuple(self._path), reason)


def _closed(properties: Schema, required: Sequence[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _types(schema: Schema) -> set[str]:
    given = schema.get("type", ["string", "number", "boolean", "null", "array", "object"])
    return {"number" if one == "integer" else one for one in ([given] if isinstance(given, str) else given)}


def _no_schema(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, bytes | bytearray | memoryview):
        return f"{_name(kind)} has no JSON schema, because JSON is text; take a str"
    return f"{_name(kind)} has no JSON schema; {_ALLOWED}"


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")

