"""What a type looks like on the wire, apart from how a schema language writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from attrs import frozen

Scalar: TypeAlias = Literal["string", "integer", "number", "boolean", "null", "any"]


@frozen
class Plain:
    """A scalar, or any JSON value. `format` is the protocol's integer type."""

    kind: Scalar
    format: str | None = None


@frozen
class Words:
    """One of some strings."""

    words: Sequence[str]


@frozen
class Named:
    """A type that has a name of its own."""

    name: str


@frozen
class ListOf:
    """A list."""

    of: Shape


@frozen
class MapOf:
    """An object with any names."""

    of: Shape


@frozen
class Either:
    """One of several shapes. `title`: the union's name, if its arms are objects that are told apart by a member `type`."""

    arms: Sequence[Shape]
    title: str | None = None


@frozen
class Member:
    """A member of an object.

    required: what a client sends has it.
    sent: what the server sends has it.
    """

    name: str
    shape: Shape
    required: bool
    sent: bool


@frozen
class Record:
    """An object. `doc` says what it is."""

    members: Sequence[Member]
    doc: str = ""


Shape: TypeAlias = Plain | Words | Named | ListOf | MapOf | Either | Record

NULL = Plain("null")
ANY = Plain("any")


def nullable(shape: Shape) -> bool:
    """Whether null is one of its values."""
    return shape in (NULL, ANY) or (isinstance(shape, Either) and any(map(nullable, shape.arms)))


def optional(shape: Shape) -> Shape:
    """The shape, or null."""
    return shape if nullable(shape) else Either((shape, NULL))


def names(shape: Shape) -> Iterator[str]:
    """The names of the types that it refers to."""
    match shape:
        case Named(name=name):
            yield name
        case ListOf(of=of) | MapOf(of=of):
            yield from names(of)
        case Either(arms=arms):
            for arm in arms:
                yield from names(arm)
        case Record(members=members):
            for member in members:
                yield from names(member.shape)
        case _:
            pass
