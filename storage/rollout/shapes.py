"""Looking into JSON that others wrote: a member of another shape than expected counts as empty."""

from __future__ import annotations

import re
from typing import Any, TypeAlias, TypeGuard

Json: TypeAlias = dict[str, Any]

_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


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


def id_or_none(value: object) -> str | None:
    """The value in canonical form if it is a UUID, as the ids of threads and rollouts are, else None.

    A thread's id becomes part of paths (its lock, its files), so one that a file gives goes through this first.
    """
    return value.lower() if isinstance(value, str) and _ID.fullmatch(value) else None


def text(value: object) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def text_or_none(value: object) -> str | None:
    """The value if it is a string, else None."""
    return value if isinstance(value, str) else None
