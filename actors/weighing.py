"""How much a message takes until it is sent: an estimate, for a small part of what encoding it costs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from math import inf
from typing import Any, cast

import attrs

_VALUE = 8
_WIDE = 3


def weigh(value: object, most: float = inf) -> int:
    """About the bytes of an attrs object or a JSON value once it is encoded. Raises nothing, whatever it is given.

    It stops at `most`, so that looking whether something is large costs little where it is.
    """
    weight, todo = 0, [value]
    while todo and weight < most:
        value = todo.pop()
        weight += _VALUE
        if isinstance(value, str):
            weight += weigh_text(value)
        elif isinstance(value, bytes):
            weight += len(value)
        elif isinstance(value, dict):
            todo += cast("dict[object, object]", value)
            todo += cast("dict[object, object]", value).values()
        elif isinstance(value, list | tuple):
            todo += cast("list[object]", value)
        elif names := _names(cast("Hashable", type(value))):
            todo += [getattr(value, name, None) for name in names]
    return weight


def weigh_text(text: str) -> int:
    """About the bytes of a text in UTF-8, in constant time."""
    return len(text) if text.isascii() else _WIDE * len(text)


@cache
def _names(of: Hashable) -> tuple[str, ...]:
    fields: Sequence[attrs.Attribute[Any]] = getattr(of, "__attrs_attrs__", ())
    return tuple(field.name for field in fields)
