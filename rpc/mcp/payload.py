"""The JSON of MCP messages, and how it is quoted in errors and logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from spindle.rpc.protocol.converter import encode
from spindle.rpc.weighing import weigh

Json: TypeAlias = Mapping[str, Any]
"""A JSON object, handed through as it came."""


def as_json(value: object, most: int) -> str:
    """The value as JSON; an ellipsis where that would have more than `most` characters."""
    return encode(value).decode() if weigh(value, most) < most else "\u2026"


def as_text(value: object, most: int) -> str:
    """A value that should be a text, as one, at most `most` characters of it; objects and arrays are as `as_json`."""
    return as_json(cast("object", value), most) if isinstance(value, dict | list) else str(value)[:most]
