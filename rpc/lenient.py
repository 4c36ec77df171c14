"""Reading JSON that other programs wrote: a value of an unexpected type counts as empty."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

Json: TypeAlias = dict[str, Any]


def is_mapping(value: object) -> TypeGuard[Json]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_sequence(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def mapping(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return value if is_mapping(value) else {}


def sequence(value: object) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return value if is_sequence(value) else []


def objects(value: object) -> list[Json]:
    """The objects in an array; an empty list for any other value."""
    return [member for member in sequence(value) if is_mapping(member)]


def text(value: object) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def text_or_none(value: object) -> str | None:
    """The value if it is a string, else None."""
    return value if isinstance(value, str) else None
