"""JSON as servers send it: anything may be missing or of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from spindle.rpc.protocol.converter import encode
from spindle.rpc.weighing import weigh

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


def as_json(value: object, most: int) -> str:
    """The value as JSON; an ellipsis where that would have more than `most` characters."""
    return encode(value).decode() if weigh(value, most) < most else "\u2026"


def as_text(value: object, most: int) -> str:
    """A value that should be a text, as one, at most `most` characters of it; objects and arrays are as `as_json`."""
    return as_json(cast("object", value), most) if isinstance(value, dict | list) else str(value)[:most]
