"""Estimate the memory of a message until it is sent. The estimate costs a fraction of encoding."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from math import inf
from operator import attrgetter
from typing import Any

import attrs

_VALUE = 8
_WIDE = 3
_FLAT = frozenset((bool, int, float))
_SEQUENCES = (list, tuple)


def weigh(value: object, most: float = inf) -> int:
    """Estimate the bytes of an attrs object or a JSON value when encoded. Never raises.

    Counting stops at `most`, so asking whether a value is large costs little for a large one.
    """
    weight, todo = _VALUE, [value]
    while todo and weight < most:
        members = _members(todo.pop())
        weight += _VALUE * len(members)
        for member in members:
            if member is None:
                continue
            kind: Any = type(member)  # pyright: ignore[reportUnknownVariableType]
            if kind is str:
                weight += len(member) if member.isascii() else _WIDE * len(member)
            elif kind is bytes:
                weight += len(member)
            elif kind not in _FLAT:
                todo.append(member)
    return weight


def weigh_text(text: str) -> int:
    """Estimate the bytes of a text in UTF-8, in constant time."""
    return len(text) if text.isascii() else _WIDE * len(text)


def _members(value: Any) -> Collection[Any]:
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    members = _attributes(kind)
    if members is not None:
        try:
            return members(value)
        except AttributeError:  # an attribute that is not set yet
            return [getattr(value, field.name, None) for field in attrs.fields(kind)]
    if isinstance(value, _SEQUENCES):
        return value  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return [*value, *value.values()]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if isinstance(value, str):
        return (str.__str__(value),)
    return (value,) if kind is bytes else ()


@cache
def _attributes(kind: Any) -> Callable[[object], Sequence[Any]] | None:
    """What gets all attributes of an attrs class; None for other classes."""
    names = [field.name for field in getattr(kind, "__attrs_attrs__", ())]
    if len(names) > 1:
        return attrgetter(*names)
    return (lambda value: (getattr(value, names[0], None),)) if names else None
