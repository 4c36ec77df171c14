"""Poison: values that a request may have in it and that must affect only this request; and every place where they can be.

Values are JSON text, because some of them are not JSON. `MARK` is the place of a value.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import attrs
import orjson

from spindle.rpc.protocol.shapes import Absent, Absolute, wire_name
from spindle.rpc.protocol.values import loads

MARK = "\u2620"

ACTING: Final = ("command/exec", "externalAgentConfig/", "feedback/", "fs/", "process/", "thread/shellCommand")
"""Methods that begin so run commands, or change files anywhere: tests must not do that at random."""
RUNS = int(os.environ.get("SPINDLE_POISONS", "0"))
"""How many poisoned values a test tries; all of them if negative, a few seconds' worth by default."""
SEED = int(os.environ.get("SPINDLE_SEED", "1"))

LONG = b'"' + b"long " * 200_000 + b'"'


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]", inner: bytes = b"1") -> bytes:
    return opening * levels + inner + closing * levels


POISONS: Mapping[str, bytes] = {
    "lone high surrogate": rb'"a\ud800b"',
    "lone low surrogate": rb'"\udcff"',
    "invalid UTF-8": b'"a\xff\xfeb"',
    "cut UTF-8": b'"\xe2\x82"',
    "as deep as is read": nested(120),
    "an object as deep as is read": nested(120, b'{"a":', b"}"),
    "depth 128": nested(128),
    "depth 255": nested(255, b'{"a":', b"}"),
    "depth 10,000": nested(10_000),
    "depth 10,000 of objects": nested(10_000, b'{"a":', b"}"),
    "2^31": b"2147483648",
    "2^32 - 1": b"4294967295",
    "2^63 - 1": b"9223372036854775807",
    "2^63": b"9223372036854775808",
    "2^64 - 1": b"18446744073709551615",
    "2^64": b"18446744073709551616",
    "-2^63": b"-9223372036854775808",
    "-2^63 - 1": b"-9223372036854775809",
    "5000 digits": b"9" * 5000,
    "NaN": b"NaN",
    "-Infinity": b"-Infinity",
    "1e400": b"1e400",
    "1e308": b"1e308",
    "1e-400": b"1e-400",
    "0": b"0",
    "-1": b"-1",
    "1.5": b"1.5",
    "long": LONG,
    "a path too long": b'"/' + b"x" * 5000 + b'"',
    "dots": b'"' + b"a." * 2000 + b'a"',
    "NUL": rb'"\u0000"',
    "NUL within": rb'"/tmp/a\u0000b"',
    "newlines": rb'"\n\r\n"',
    "unknown variant": b'"noSuchVariant"',
    "empty": b'""',
    "format": b'"%s {} $HOME ${x} `id`"',
    "brackets": b'"((((((([[[[[*+?"',
    "home": b'"~"',
    "a device": b'"/dev/null"',
    "a folder": b'"/"',
    "true": b"true",
    "null": b"null",
    "array": b"[]",
    "object": b"{}",
    "array of all": b'[null,true,1,1.5,"a",[],{}]',
    "an unknown tag": b'{"type":"noSuchVariant"}',
    "a tag of a wrong type": b'{"type":[]}',
    "duplicate members": b'{"type":"text","type":5,"type":"text"}',
}


def _readable(poison: bytes) -> bool:
    try:
        loads(b'{"params":%s}' % poison)
    except orjson.JSONDecodeError:
        return False
    return True


UNREADABLE = frozenset(name for name, poison in POISONS.items() if not _readable(poison))
"""The values with which no message can be read."""

KEYS: Mapping[str, str] = {
    "a long key": "k" * 100_000,
    "a NUL key": "\0",
    "a dotted key": "a." * 2000 + "a",
    "an empty key": "",
}


def put(sample: object, poison: bytes) -> bytes:
    """The sample as JSON, with the poison where `MARK` is."""
    return (
        json.dumps(sample, ensure_ascii=False).encode().replace(json.dumps(MARK, ensure_ascii=False).encode(), poison)
    )


@attrs.frozen
class Samples:
    """Valid values for every class of `rpc.protocol`; `known` has those of members by name."""

    known: Mapping[str, object] = attrs.Factory(dict)

    def right(self, kind: Any, name: str = "") -> Any:
        """The shortest valid value of a type."""
        if name in self.known:
            return self.known[name]
        origin, arms = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return "/tmp" if any(isinstance(note, Absolute) for note in arms[1:]) else self.right(arms[0], name)
        if origin is Literal:
            return arms[0]
        if origin in (Union, UnionType):
            return self.right(next(arm for arm in arms if arm not in (NoneType, Absent)), name)
        if origin is Sequence:
            return []
        if origin is Mapping or kind is object or kind is Any:
            return {}
        if attrs.has(kind):
            return {
                wire_name(attribute): self._fixed(attribute)
                for attribute in attrs.fields(kind)
                if attribute.default is attrs.NOTHING or not attribute.init
            }
        right: dict[Any, object] = {str: "text", bool: False, int: 1, float: 1.0}
        return right[kind]

    def _fixed(self, attribute: Any) -> Any:
        return self.right(attribute.type, wire_name(attribute)) if attribute.init else attribute.default

    def poisoned(self, kind: Any, name: str = "", depth: int = 4) -> Iterator[tuple[str, Any]]:
        """(where, a value of the type that is right but for the `MARK` in it), for every place there is."""
        yield "", MARK
        origin, arms = get_origin(kind), get_args(kind)
        if depth == 0:
            return
        if origin is Annotated:
            yield from self._inner(arms[0], name, depth)
        elif origin in (Union, UnionType):
            for arm in arms:
                if arm not in (NoneType, Absent):
                    yield from self._inner(arm, name, depth)
        elif origin is Sequence:
            yield "[]", [MARK] * 3
            for where, value in self._inner(arms[0], "", depth - 1):
                yield f"[0]{where}", [value]
        elif origin is Mapping or kind is object or kind is Any:
            yield "{}", {"key": MARK}
            for label, key in KEYS.items():
                yield label, {key: MARK}
        elif attrs.has(kind):
            rest = self.right(kind)
            for attribute in attrs.fields(kind):
                wire = wire_name(attribute)
                for where, value in self.poisoned(attribute.type, wire, depth - 1):
                    yield f".{wire}{where}", {**rest, wire: value}

    def _inner(self, kind: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
        for where, value in self.poisoned(kind, name, depth):
            if value != MARK:
                yield where, value


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON value, its own first."""
    yield path
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from leaves(member, (*path, index))


def marked(value: Any, path: tuple[Any, ...]) -> Any:
    """The value with the `MARK` at a path."""
    if not path:
        return MARK
    first, *rest = path
    if isinstance(value, dict):
        return value | {first: marked(value[first], tuple(rest))}
    return [marked(member, tuple(rest)) if index == first else member for index, member in enumerate(value)]


def drawn(every: list[Any], usual: int) -> list[Any]:
    """As many of the cases as a test has time for, always the same ones."""
    random.Random(SEED).shuffle(every)
    return every if RUNS < 0 else every[: RUNS or usual]
