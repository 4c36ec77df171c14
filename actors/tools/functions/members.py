"""What classes consist of: the members of attrs classes, dataclasses, TypedDicts and NamedTuples, in one form."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import attrs

from spindle.rpc.lazy_class import frozen

V = TypeVar("V")

NO_DEFAULT: Any = dataclasses.MISSING


@frozen
class Member:
    """One member: its name in JSON, its type, and its default (`NO_DEFAULT` if there is none, or a factory)."""

    name: str
    kind: Any
    required: bool
    default: Any = NO_DEFAULT


@attrs.frozen
class Pair(Generic[V]):
    """A member of a mapping, where a schema may have no mappings."""

    key: str
    value: V


def pairs_of(kind: Any) -> Any:
    """The type of a list of pairs with values of `kind`."""
    pair: Any = Pair
    return list[pair[kind]]


def bare(kind: Any) -> tuple[Any, str | None]:
    """The type without NewType, Annotated and Required, and the outermost description in an Annotated."""
    note: str | None = None
    while True:
        if get_origin(kind) is Annotated:
            kind, *metadata = get_args(kind)
            texts = (one if isinstance(one, str) else getattr(one, "description", None) for one in reversed(metadata))
            note = note or next((text for text in texts if isinstance(text, str)), None)
        elif get_origin(kind) in (Required, NotRequired):
            (kind,) = get_args(kind)
        elif isinstance(kind, NewType):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":  # of Python 3.12
            kind = kind.__value__
        else:
            return kind, note


def is_union(kind: Any) -> bool:
    """Whether it is a union, `Optional` among them."""
    return get_origin(kind) in (Union, types.UnionType)


def is_namedtuple(kind: Any) -> bool:
    """Whether it is a class made by NamedTuple."""
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(cast("type", kind), "_fields")


def is_pydantic(kind: Any) -> bool:
    """Whether it is a model of pydantic, which Spindle does not import."""
    return isinstance(kind, type) and hasattr(kind, "model_json_schema") and hasattr(kind, "model_validate")


def is_plain(kind: Any) -> bool:
    """Whether values are the same in JSON and in Python: numbers, text, None, and literals of these."""
    kind, _ = bare(kind)
    if get_origin(kind) is Literal:
        return all(isinstance(value, str | int | float | None) for value in get_args(kind))
    return kind in (str, int, float, bool, None, type(None))


def members(kind: Any, names: Mapping[str, Any]) -> Sequence[Member] | None:
    """The members of a class; None if it is none of the four kinds. `names` are local names that its types may use.

    Raises NameError for a type that cannot be found.
    """
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return None
    given = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))
    found = _found(origin, names)
    return None if found is None else [attrs.evolve(one, kind=_filled(one.kind, given)) for one in found]


def attributes(kind: Any) -> Mapping[str, str] | None:
    """The attributes of values of a class, by their names in JSON; None if it is no class with members, or a TypedDict."""
    if attrs.has(kind):
        return {field.alias: field.name for field in attrs.fields(kind) if field.init}
    if dataclasses.is_dataclass(kind):
        return {field.name: field.name for field in dataclasses.fields(kind) if field.init}
    return {name: name for name in kind._fields} if is_namedtuple(kind) else None


def _found(origin: Any, names: Mapping[str, Any]) -> Iterator[Member] | None:
    if attrs.has(origin):
        return _of_attrs(attrs.resolve_types(origin, localns=dict(names)))
    if dataclasses.is_dataclass(origin):
        return _of_dataclass(origin, _hints(origin, names))
    if is_typeddict(origin):
        return _of_typed_dict(origin, _hints(origin, names))
    if is_namedtuple(origin):
        return _of_namedtuple(origin, _hints(origin, names))
    return None


def _of_attrs(origin: Any) -> Iterator[Member]:
    for field in attrs.fields(origin):
        if field.init:
            required = field.default is attrs.NOTHING
            has_value = not required and not isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
            kind = Any if field.type is None else field.type
            yield Member(field.alias, kind, required, field.default if has_value else NO_DEFAULT)


def _of_dataclass(origin: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    for field in dataclasses.fields(origin):
        if field.init:
            required = field.default is NO_DEFAULT and field.default_factory is NO_DEFAULT
            yield Member(field.name, hints[field.name], required, field.default)


def _of_typed_dict(origin: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    for name, hint in hints.items():
        marked = get_origin(hint)  # __required_keys__ does not know marks in strings
        required = marked is Required or (marked is not NotRequired and name in origin.__required_keys__)
        yield Member(name, get_args(hint)[0] if marked in (Required, NotRequired) else hint, required)


def _of_namedtuple(origin: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    for name in origin._fields:
        defaults = origin._field_defaults
        yield Member(name, hints.get(name, Any), name not in defaults, defaults.get(name, NO_DEFAULT))


def _hints(kind: Any, names: Mapping[str, Any]) -> Mapping[str, Any]:
    return get_type_hints(kind, localns=dict(names), include_extras=True)


def _filled(hint: Any, given: Mapping[Any, Any]) -> Any:
    """The type with the parameters of a generic class filled in."""
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    parameters: Sequence[Any] = getattr(hint, "__parameters__", ())
    if not given or not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(given.get(one, one) for one in parameters)]
