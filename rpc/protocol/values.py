"""Bounds of JSON values from outside, and text that is not valid UTF-8.

JSON from outside (a client, a model, an MCP server, a hook, a file) is decoded with `loads`; other data (TOML) is
checked with `fault`. A value that passed can be encoded in each message and line that contains it. Encoders refuse
nesting of 255 levels, integers beyond 64 bits, and lone surrogates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final, TypeAlias, cast

import orjson

from spindle.rpc.lazy_class import frozen

DEPTH: Final = 127
"""The most nested levels of a document from outside; the limit of Codex 0.124 (serde_json)."""
DEPTH_OF_RECORDS: Final = DEPTH + 33
"""The most nested levels of our own record that contains such a document. A message that shows it may add as many again."""

MOST: Final = 10**12
"""The upper bound of a count from outside. Sums of such counts stay far below 64 bits, the limit of JSON and SQLite."""

VALUES: Final = 500_000
"""The most objects, arrays and strings in one message of an untrusted program; an empty one takes about 70 bytes."""

TOO_DEEP: Final = "recursion limit exceeded"
_DECODER_TOO_DEEP = re.compile("depth (limit )?exceeded")
"""What orjson says at 1,024 levels: "depth limit exceeded", in older versions "array and object recursion depth exceeded"."""

Keys: TypeAlias = tuple[str, ...]

_SMALL: Final = 64 * 1024
"""Bytes. A longer result wastes too little memory to be worth a copy."""
_COPIED: Final = 1024 * 1024
"""Bytes. A longer document is not copied to be looked through."""
_LOW, _HIGH = -(2**63), 2**64 - 1
_SURROGATES = re.compile("[\ud800-\udfff]")
_DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n\u2028\u2029]")


@frozen
class Fault:
    """The fault of a value, and its place: the keys and indices from the outside in."""

    keys: Keys
    reason: str


def crowded(data: bytes | bytearray) -> bool:
    """Whether a document has more than `VALUES` objects, arrays and strings: decoding it would take much time and memory.

    Counts brackets and quotes. Quotes inside strings are escaped. Small documents cannot have so many.
    """
    if len(data) <= VALUES:
        return False
    opened = data.count(b"{") + data.count(b"[")
    return opened > VALUES or opened + (data.count(b'"') - data.count(b'\\"')) // 2 > VALUES


def loads(data: bytes | bytearray | str, depth: int = DEPTH) -> Any:
    """Decode JSON from outside. Raises orjson.JSONDecodeError, also for nesting beyond `depth` levels.

    The decoder itself refuses lone surrogates, invalid UTF-8, and numbers that are not finite.
    """
    try:
        value: Any = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if _DECODER_TOO_DEEP.search(error.msg):
            raise orjson.JSONDecodeError(TOO_DEEP, "", 0) from None
        raise
    if len(data) > 2 * depth and too_deep(value, data, depth):  # each level has two brackets
        raise orjson.JSONDecodeError(TOO_DEEP, "", 0)
    return value


def too_deep(value: object, data: bytes | bytearray | str, depth: int = DEPTH) -> bool:
    """Whether the value, decoded from `data`, is nested deeper than `depth` levels."""
    # most documents have fewer brackets and need no walk
    return opened(data) > depth and _deeper_than(value, depth)


def fault(value: object, depth: int = DEPTH) -> Fault | None:
    """The fault that makes data (not decoded from JSON) unfit to be stored or sent; None if there is none."""
    level: list[tuple[Keys, object]] = [((), value)]
    for _ in range(depth + 1):
        below: list[tuple[Keys, object]] = []
        for keys, each in level:
            match each:
                case dict():
                    for name, member in cast("dict[str, object]", each).items():
                        if not is_clean(name):
                            return Fault(keys, f"the key {clean(name)!r} is not valid UTF-8")
                        below.append(((*keys, name), member))
                case list():
                    members = cast("list[object]", each)
                    below += (((*keys, str(index)), member) for index, member in enumerate(members))
                case float() if not math.isfinite(each):
                    return Fault(keys, f"invalid value: `{each}`, expected a finite number")
                case int() if not _LOW <= each <= _HIGH:
                    return Fault(keys, "invalid value: an integer beyond 64 bits")
                case str() if not is_clean(each):
                    return Fault(keys, f"invalid value: {clean(each)!r} is not valid UTF-8")
                case _:
                    pass
        if not below:
            return None
        level = below
    return Fault(level[0][0], TOO_DEEP)


def count(value: object) -> int | None:
    """A count or an index from another program, clamped to the bounds; None if it is not a number."""
    return max(0, min(int(value), MOST)) if isinstance(value, int | float) and type(value) is not bool else None


def clean(text: str) -> str:
    """The text with U+FFFD for lone surrogates: for names and paths that are shown, not for those that are opened."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def readable(text: str, most: int) -> str:
    """At most `most` characters of a text from outside, for display: terminal and bidirectional control characters are escaped.

    A carriage return before a newline is removed; newlines and tabs are kept.
    """
    cut = text[:most].replace("\r\n", "\n")
    return _DRIVES.sub(_escaped, cut) + ("\u2026" if len(text) > most else "")


def one_line(text: str, most: int) -> str:
    """As `readable`, on one line. In a log, a line break would let the text look like a line of ours."""
    return _BREAKS.sub(_escaped, readable(text, most))


def is_clean(text: str) -> bool:
    """Whether the text can be encoded as UTF-8."""
    return text.isascii() or _SURROGATES.search(text) is None


def packed(encoded: bytes) -> bytes:
    """The same bytes, in memory of their own size: orjson leaves a short result in a block of at least 4 KiB."""
    return bytes(memoryview(encoded)) if len(encoded) < _SMALL else encoded


def opened(data: bytes | bytearray | str) -> int:
    """The number of opening brackets."""
    if isinstance(data, str):
        return data.count("[") + data.count("{")
    if len(data) > _COPIED:
        return data.count(b"[") + data.count(b"{")
    # Removing a byte everywhere is several times faster than counting it (Python 3.11 and 3.12).
    return len(data) - len(data.replace(b"{", b"").replace(b"[", b""))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _deeper_than(value: Any, depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth):
        children = chain.from_iterable(map(_members, level))
        level = [child for child in children if type(child) is dict or type(child) is list]
        if not level:
            return False
    return True


def _members(value: Any) -> Iterable[Any]:
    return cast("dict[str, Any]", value).values() if type(value) is dict else cast("Iterable[Any]", value)
