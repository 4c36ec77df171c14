"""Classes of each kind, made by the decorator that is given: that of attrs, or the lazy one."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import attrs

T = TypeVar("T")
Frozen = Any  # the decorator: attrs.frozen or ours


def without_fields(frozen: Frozen) -> Any:
    @frozen
    class Nothing:
        """It has only a docstring."""

    return Nothing


def with_defaults(frozen: Frozen) -> Any:
    @frozen
    class Entry:
        LIMIT: ClassVar[int] = 3
        kind: str = attrs.field(default="entry", init=False)
        first: int
        second: "str | None" = None
        rest: Sequence[int] = attrs.field(factory=tuple, metadata={"wire": "Rest"})
        unset: object = attrs.field(init=False)

    return Entry


def with_keywords(frozen: Frozen) -> Any:
    @frozen(kw_only=True)
    class Keywords:
        first: int = 1
        second: list[str]
        aside: str = attrs.field(default="", eq=False, repr=False)

    return Keywords


def with_one_keyword(frozen: Frozen) -> Any:
    @frozen
    class OneKeyword:
        first: int
        _hidden: int = attrs.field(kw_only=True, converter=int)
        checked: int = attrs.field(default=2, validator=attrs.validators.instance_of(int))

    return OneKeyword


def with_methods(frozen: Frozen) -> Any:
    @frozen
    class Methods:
        first: int
        twice: int = attrs.field(init=False)

        def __attrs_post_init__(self) -> None:
            object.__setattr__(self, "twice", 2 * self.first)

        def __repr__(self) -> str:
            return f"<{self.first}>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self)) and other.first == self.first

        @property
        def kind(self) -> Any:
            return __class__  # type: ignore[name-defined]

        @classmethod
        def make(cls, *arguments: int) -> Any:
            return cls(*arguments)

    return Methods


def with_a_cached_property(frozen: Frozen) -> Any:
    @frozen
    class Cached:
        first: int

        @cached_property
        def kind(self) -> list[int]:
            return [self.first]

        def name(self) -> bool:
            return self.kind is self.kind

    return Cached


def with_own_init(frozen: Frozen) -> Any:
    @frozen
    class OwnInit:
        first: int
        second: int = 2

        def __init__(self, text: str) -> None:
            self.__attrs_init__(int(text))  # type: ignore[attr-defined]

    return OwnInit


def with_bases(frozen: Frozen) -> Any:
    @frozen
    class Base:
        first: int
        second: str = "base"

        def name(self) -> str:
            return f"base {self.first}"

        def __hash__(self) -> int:
            return 7

    @frozen
    class Derived(Base):
        second: str = "derived"
        third: tuple[int, ...] = ()

        def name(self) -> str:
            return f"derived {super().name()}"

    return Derived


def with_a_type(frozen: Frozen) -> Any:
    @frozen
    class Box(Generic[T]):
        content: T

    @frozen(kw_only=True)
    class Named(Box[int]):
        name: str = "box"

    return Named


def of_an_error(frozen: Frozen) -> Any:
    @frozen
    class Failure(Exception):
        reason: str
        code: int = 1

    return Failure


DEFINITIONS = (
    without_fields,
    with_defaults,
    with_keywords,
    with_one_keyword,
    with_methods,
    with_a_cached_property,
    with_own_init,
    with_bases,
    with_a_type,
    of_an_error,
)
ARGUMENTS: dict[Any, tuple[dict[str, Any], dict[str, Any]]] = {
    without_fields: ({}, {}),
    with_defaults: ({"first": 1}, {"first": 2, "second": "x", "rest": (1, 2)}),
    with_keywords: ({"second": ["x"]}, {"first": 2, "second": ["y"], "aside": "z"}),
    with_one_keyword: ({"first": 1, "hidden": "4"}, {"first": 1, "hidden": 5, "checked": 9}),
    with_methods: ({"first": 1}, {"first": 2}),
    with_a_cached_property: ({"first": 1}, {"first": 2}),
    with_own_init: ({"text": "1"}, {"text": "2"}),
    with_bases: ({"first": 1}, {"first": 1, "second": "x", "third": (3,)}),
    with_a_type: ({"content": 1}, {"content": 2, "name": "y"}),
    of_an_error: ({"reason": "x"}, {"reason": "y", "code": 2}),
}
