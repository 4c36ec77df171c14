"""Annotations for the shape of a member, beyond its Python type.

Attribute metadata has the rest; see `wire_name` and `converter`. `typing` hashes annotations at once, so that a lazily
written class would only cost more here.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias, cast

import attrs


class Absent(Enum):
    """The type of `ABSENT`, for the few members where null and a missing member differ."""

    ABSENT = "absent"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent.ABSENT


@attrs.frozen
class Tagged:
    """Annotates a union whose classes are distinguished by their member `type`; `name` is used in errors.

    `untyped` is the type of an object without `type`; None if each object needs one.
    """

    name: str
    untyped: str | None = None


@attrs.frozen
class Keyed:
    """Annotates a union of strings and of objects with a single member that names the variant.

    `variants` are all of them, in their order in errors.
    """

    variants: tuple[str, ...]


@attrs.frozen
class Untagged:
    """Annotates a union whose classes are distinguished by the value's shape."""

    name: str


@attrs.frozen
class Bounds:
    """Annotates an int with the limits of the protocol's integer type."""

    name: str
    low: int
    high: int


@attrs.frozen
class Path:
    """Annotates a str that names a file or folder, without NUL."""


@attrs.frozen
class Absolute(Path):
    """Annotates a str that must be an absolute path."""


U16: TypeAlias = Annotated[int, Bounds("u16", 0, 2**16 - 1)]
U32: TypeAlias = Annotated[int, Bounds("u32", 0, 2**32 - 1)]
USize: TypeAlias = Annotated[int, Bounds("usize", 0, 2**64 - 1)]
I32: TypeAlias = Annotated[int, Bounds("i32", -(2**31), 2**31 - 1)]
PathName: TypeAlias = Annotated[str, Path()]
AbsolutePath: TypeAlias = Annotated[str, Absolute()]
JsonObject: TypeAlias = Mapping[str, object]


def wire_name(attribute: "attrs.Attribute[Any]") -> str:
    """The member's name on the wire."""
    named = attribute.metadata.get("wire")
    if named is not None:
        return cast(str, named)
    first, *rest = attribute.name.split("_")
    return first + "".join(word.capitalize() for word in rest)
