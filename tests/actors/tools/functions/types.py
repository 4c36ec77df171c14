"""Classes of each kind, in a module with types in strings."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Required, TypedDict, TypeVar

import attrs

T = TypeVar("T")


class Unit(enum.Enum):
    """Of temperatures."""

    C = "celsius"
    F = "fahrenheit"


class Word(str, enum.Enum):  # noqa: UP042 - the older form
    """An answer."""

    YES = "yes"


class Level(enum.IntEnum):
    """Of urgency."""

    LOW = 1
    HIGH = 2


@attrs.frozen
class Place:
    """Where it is."""

    city: Annotated[str, "its name"]
    near: tuple[Place, ...] = ()
    _code: int = 7
    seen: int = attrs.field(default=0, init=False)


@dataclass
class Trip:
    to: Leg
    days: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass
class Leg:
    """One way."""

    miles: float


class Hotel(TypedDict):
    stars: int
    until: NotRequired[date]


class Loose(TypedDict, total=False):
    pause: Required[timedelta]
    note: str


class Point(NamedTuple):
    x: float
    y: float = 0.5


@attrs.frozen
class Page(Generic[T]):
    rows: list[T]
    kind: Literal["page"] = "page"


@attrs.frozen
class Book:
    rows: list[str]
    kind: Literal["book"]


@attrs.frozen
class Even:
    number: int = attrs.field()

    @number.validator
    def _check(self, _: Any, value: int) -> None:
        if value % 2:
            raise ValueError("must be even")
