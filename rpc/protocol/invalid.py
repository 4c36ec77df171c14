"""Errors of JSON values, in the words of serde.

Clients of the reference server show these sentences to users, and some compare them.
"""

from collections.abc import Sequence
from typing import Final

import orjson

from spindle.rpc.protocol.values import clean

SHOWN: Final = 1000
"""The most characters of a wrong value that an error quotes."""


class InvalidValue(Exception):
    """A JSON value does not fit its class.

    `message` says what is wrong, `path` where, relative to the value: ``input[0].text``, or "" for the value itself.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.message} (at {self.path})" if self.path else self.message

    def within(self, segment: str) -> None:
        """Prefix the path with the member (`input`) or index (`[0]`) that contains the wrong value."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        self.path = segment + joint + self.path


class Unsupported(InvalidValue):
    """A member asks for something unsupported; `path` is the member's path."""

    def __init__(self, path: str) -> None:
        super().__init__("not supported", path)


def describe(value: object) -> str:
    """Name a JSON value the way serde does: ``string "a"``, ``integer `5```, ``map``."""
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value!r}`"
        case str():
            return f"string {orjson.dumps(clean(_shortened(value))).decode()}"
        case list() | tuple():
            return "sequence"
        case _:
            return "map"


def invalid_type(value: object, expected: str) -> InvalidValue:
    return InvalidValue(f"invalid type: {describe(value)}, expected {expected}")


def unknown_variant(value: str, variants: Sequence[str]) -> InvalidValue:
    return InvalidValue(f"unknown variant `{_shortened(value)}`, expected {one_of(variants)}")


def _shortened(value: str) -> str:
    return value if len(value) <= SHOWN else f"{value[:SHOWN]}…"


def one_of(variants: Sequence[str]) -> str:
    """The alternatives in serde's form: "`a`", "`a` or `b`", "one of `a`, `b`, `c`"."""
    quoted = [f"`{variant}`" for variant in variants]
    if len(quoted) <= 2:
        return " or ".join(quoted)
    return "one of " + ", ".join(quoted)
