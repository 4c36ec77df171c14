"""The JSON of MCP messages, and how it is quoted in errors and logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from spindle.rpc.protocol.converter import encode
from spindle.rpc.weighing import weigh

Json: TypeAlias = Mapping[str, Any]
"""A JSON object as it was received."""


def as_json(value: object, most: int) -> str:
    """The value as JSON, or an ellipsis if the JSON is longer than `most` characters."""
    return encode(value).decode() if weigh(value, most) < most else "\u2026"


def as_text(value: object, most: int) -> str:
    """A value that should be a string, as a string of at most `most` characters. Objects and arrays as in `as_json`."""
    return as_json(cast("object", value), most) if isinstance(value, dict | list) else str(value)[:most]
