"""JSON into values of a type, and values into JSON.

What a value must look like is in the schema, so it is checked first (`checking`); then cattrs makes the value. A failure names
each member that does not fit: `trip.days: must be an integer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast, get_args, get_origin, is_typeddict
from uuid import UUID

import orjson
from cattrs import Converter, IterableValidationError

from spindle.actors.tools.functions.checking import Path as Place
from spindle.actors.tools.functions.checking import Problem, fits, problems
from spindle.actors.tools.functions.members import (
    attributes,
    bare,
    is_plain,
    is_pydantic,
    is_union,
    members,
    pairs_of,
)
from spindle.actors.tools.functions.schema import ABSTRACT, TABLES, Schemas

T = TypeVar("T")
K = TypeVar("K", str, int)
Hook: TypeAlias = Callable[[Any, Any], Any]
"""Makes a value of JSON that fits; the second argument is the type, as cattrs passes it."""

_MOST: Final = 10
"""The most problems that one message names."""
_DURATION: Final = re.compile(
    r"(-?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,6})?)S)?)?(?<![PT])", re.ASCII
)


class _Failures(Exception):
    """Members of a value do not fit: their places in it, and why."""

    def __init__(self, failures: Sequence[tuple[Place, Exception]]) -> None:
        super().__init__()
        self.failures = failures


def _duration(text: str) -> timedelta:
    if (found := _DURATION.fullmatch(text)) is None:
        raise ValueError(text)
    minus, *numbers = found.groups()
    weeks, days, hours, minutes, seconds = (Decimal(number or 0) for number in numbers)
    whole = timedelta(
        weeks=int(weeks),
        days=int(days),
        hours=int(hours),
        minutes=int(minutes),
        microseconds=int(seconds * 1_000_000),
    )
    return -whole if minus else whole


def _duration_text(value: timedelta) -> str:
    whole = abs(value)
    seconds = Decimal(whole.seconds) + Decimal(whole.microseconds) / 1_000_000
    return f"{'-' if value < timedelta() else ''}P{whole.days}DT{seconds}S"


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(text)
    return value


_TEXTS: Final[Mapping[Any, tuple[str, Callable[[str], Any], Callable[[Any], str]]]] = {
    datetime: ("a time as in ISO 8601, such as 2030-12-31T23:59:00Z", datetime.fromisoformat, datetime.isoformat),
    date: ("a date as in ISO 8601, such as 2030-12-31", date.fromisoformat, date.isoformat),
    time: ("a time of day as in ISO 8601, such as 23:59:00", time.fromisoformat, time.isoformat),
    timedelta: ("a duration as in ISO 8601, such as PT1H30M", _duration, _duration_text),
    UUID: ("a UUID", UUID, str),
    Decimal: ("a decimal number as text", _decimal, str),
    Path: ("a path", Path, str),
    PurePath: ("a path", PurePath, str),
}
"""Types that are text in JSON: (what it must be, text to value, value to text)."""


class Misfit(ValueError):
    """A JSON value does not fit a type. The text names each member that does not, in one line."""


class Conversion(Generic[T]):
    """JSON to values of the type `kind`. Raises NoSchema for a type that has no JSON schema.

    `strict` is for answers that the provider holds to the schema, see `schema`. `names` are local names for types in strings.
    """

    def __init__(self, kind: Any, *, strict: bool = False, names: Mapping[str, Any] | None = None) -> None:
        self._kind = kind
        self._schemas = Schemas(strict=strict, names=names)
        self.schema = self._schemas.document(kind)
        self._converter = converter(self._schemas)

    def read(self, given: object) -> T:
        """The value in `given`. Raises Misfit."""
        found = [*islice(problems(given, self.schema, self._schemas.defs), _MOST)]
        if not found:
            try:
                return cast("T", self._converter.structure(given, self._kind))
            except Exception as error:  # classes and their validators may raise anything
                found = [*islice(_failures(error, ()), _MOST)]
        raise Misfit("; ".join(_said(one) for one in found))

    def text(self, value: object) -> str:
        """A value of any of the types for the model: what is text in JSON as text, anything else as JSON. Raises TypeError."""
        plain: Any = self._converter.unstructure(value)
        if isinstance(plain, str):
            return str.__str__(plain)  # of a member of an enumeration too
        return orjson.dumps(plain, option=orjson.OPT_NON_STR_KEYS).decode()


def converter(schemas: Schemas) -> Converter:
    """A converter of the types that `schemas` knows. It takes values that fit their schema."""
    made = Converter(unstruct_collection_overrides={AbstractSet: list})
    for kind, (words, into, out_of) in _TEXTS.items():
        made.register_structure_hook(kind, _reading(words, into))
        made.register_unstructure_hook(kind, out_of)
    made.register_structure_hook(type(None), _same)
    made.register_unstructure_hook_func(is_pydantic, _dumped)
    made.register_unstructure_hook_factory(_has_attributes, partial(_taking_apart, made))
    for predicate, factory in (
        (_has_members, _building),
        (is_pydantic, _validating),
        (is_union, _choosing),
        (_is_mixed, _mixed),
        (_is_abstract, _concrete),
        *([(_is_table, _pairs)] if schemas.strict else []),
    ):
        made.register_structure_hook_factory(predicate, partial(factory, schemas, made))
    return made


def _same(value: object, _: Any) -> object:
    return value


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True)


def _validating(schemas: Schemas, made: Converter, kind: Any) -> Hook:
    return lambda value, _: kind.model_validate(value)


def _reading(words: str, into: Callable[[str], Any]) -> Hook:
    def structure(text: Any, _: Any) -> Any:
        try:
            return into(text)
        except (ValueError, ArithmeticError):
            raise ValueError(f"must be {words}") from None

    return structure


def _is_table(kind: Any) -> bool:
    return (get_origin(kind) or kind) in TABLES


def _has_attributes(kind: Any) -> bool:
    return attributes(kind) is not None


def _has_members(kind: Any) -> bool:
    return _has_attributes(get_origin(kind) or kind) or is_typeddict(kind)


def _building(schemas: Schemas, made: Converter, kind: Any) -> Hook:
    kinds = {member.name: member.kind for member in members(kind, schemas.names) or ()}

    def structure(value: Mapping[str, Any], _: Any) -> Any:
        built = _built(made, ((name, given, kinds[name]) for name, given in value.items()))
        return (get_origin(kind) or kind)(**built)

    return structure


def _built(made: Converter, parts: Iterable[tuple[K, object, Any]]) -> dict[K, Any]:
    """Values by their places, of (place, JSON, type). Raises _Failures, with all that fail."""
    built: dict[K, Any] = {}
    failures: list[tuple[Place, Exception]] = []
    for place, given, kind in parts:
        try:
            built[place] = made.structure(given, kind)
        except Exception as error:  # classes and their validators may raise anything
            failures.append(((place,), error))
    if failures:
        raise _Failures(failures)
    return built


def _taking_apart(made: Converter, kind: Any) -> Callable[[Any], Any]:
    names = attributes(kind) or {}
    return lambda value: {name: made.unstructure(getattr(value, attribute)) for name, attribute in names.items()}


def _choosing(schemas: Schemas, made: Converter, kind: Any) -> Hook:
    """At most one arm fits a value, apart from the plain ones (`schema`)."""
    plain = {bare(arm)[0] for arm in get_args(kind) if is_plain(arm)}
    arms = [(arm, schemas.of(arm)) for arm in get_args(kind)]

    def structure(value: Any, _: Any) -> Any:
        if type(value) in plain:
            return value
        return made.structure(value, next(arm for arm, schema in arms if fits(value, schema, schemas.defs)))

    return structure


def _is_abstract(kind: Any) -> bool:
    return (get_origin(kind) or kind) in ABSTRACT


def _concrete(schemas: Schemas, made: Converter, kind: Any) -> Hook:
    concrete = ABSTRACT[get_origin(kind) or kind]
    wanted = concrete[get_args(kind)] if get_args(kind) else concrete
    return lambda value, _: made.structure(value, wanted)


def _is_mixed(kind: Any) -> bool:
    """Whether it is a tuple of given types. The order of these is not in the schema."""
    return get_origin(kind) is tuple and get_args(kind)[1:] != (Ellipsis,)


def _mixed(schemas: Schemas, made: Converter, kind: Any) -> Hook:
    arms = [(arm, schemas.of(arm)) for arm in get_args(kind)]

    def structure(value: Sequence[Any], _: Any) -> Any:
        parts = [(number, one, *arm) for number, (one, arm) in enumerate(zip(value, arms, strict=True))]
        found = [found for number, one, _, schema in parts for found in problems(one, schema, schemas.defs, (number,))]
        if found:
            raise _Failures([(place, ValueError(why)) for place, why in found])
        return tuple(_built(made, ((number, one, arm) for number, one, arm, _ in parts)).values())

    return structure


def _pairs(schemas: Schemas, made: Converter, kind: Any) -> Hook:
    pairs = pairs_of((get_args(kind) or (str, Any))[1])
    return lambda value, _: {one.key: one.value for one in made.structure(value, pairs)}


def _failures(error: BaseException, path: Place) -> Iterator[Problem]:
    """The failures in an error of cattrs or pydantic, or the error itself."""
    if isinstance(error, _Failures):
        for place, one in error.failures:
            yield from _failures(one, (*path, *place))
    elif isinstance(error, IterableValidationError):
        noted, others = error.group_exceptions()
        for one, note in noted:
            yield from _failures(one, (*path, note.index))
        for one in others:
            yield from _failures(one, path)
    elif callable(errors := getattr(error, "errors", None)):
        for its in cast("list[dict[str, Any]]", errors()):
            yield (*path, *its["loc"]), its["msg"]
    else:
        yield path, str(error) or type(error).__name__


def _said(problem: Problem) -> str:
    path, reason = problem
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return f"{text}: {reason}" if text else f"the value {reason}"
