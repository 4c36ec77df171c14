"""JSON as servers send it: anything may be missing or of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

Json: TypeAlias = Mapping[str, Any]
"""A JSON object, handed through as it came."""


def as_object(value: object) -> Json:
    """The value if it is an object, otherwise an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def objects(value: object) -> list[Json]:
    """The members of an array that are objects; none of anything else."""
    if not isinstance(value, list):
        return []
    return [cast("Json", member) for member in cast("list[object]", value) if isinstance(member, dict)]
