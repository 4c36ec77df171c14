"""Which JSON values are kept, and how text from the operating system becomes fit to be one.

What comes from outside (a client, a model, an MCP server, a hook, a file) is read with `loads`, data of another form
(TOML) is held against `fault`. What has passed fits into every message and every line that is made of it: an encoder
refuses nesting from 255 levels on, integers beyond 64 bits, and text with lone surrogates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final, TypeAlias, cast

import attrs
import orjson

DEPTH: Final = 127
"""Levels of objects and arrays that a document from outside may have; Codex 0.124 reads no more (serde_json's limit)."""
DEPTH_OF_RECORDS: Final = DEPTH + 33
"""Levels of a record of ours that has such a document in it. As many again are left for the message that shows it."""

MOST: Final = 10**12
"""The most that a count from outside is taken for: sums of such counts stay far from 64 bits, where JSON and SQLite end."""

VALUES: Final = 500_000
"""Objects, arrays and texts of one message of a program that is not trusted; an empty one takes some seventy bytes."""

TOO_DEEP: Final = "recursion limit exceeded"
_DECODER_TOO_DEEP = re.compile("depth (limit )?exceeded")
"""What orjson says at 1,024 levels: "depth limit exceeded", in older versions "array and object recursion depth exceeded"."""

Keys: TypeAlias = tuple[str, ...]

_LOW, _HIGH = -(2**63), 2**64 - 1
_SURROGATES = re.compile("[\ud800-\udfff]")
_DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n\u2028\u2029]")


@attrs.frozen
class Fault:
    """What is wrong with a value, and where in it: the keys and indices from the outside in."""

    keys: Keys
    reason: str


def crowded(data: bytes | bytearray) -> bool:
    """Whether a document is made of more than `VALUES` objects, arrays and texts: decoding it would take long, and much memory.

    Found by counting brackets and quotes, in a text of which quotes are escaped. Small documents cannot be.
    """
    if len(data) <= VALUES:
        return False
    opened = data.count(b"{") + data.count(b"[")
    return opened > VALUES or opened + (data.count(b'"') - data.count(b'\\"')) // 2 > VALUES


def loads(data: bytes | bytearray | str, depth: int = DEPTH) -> Any:
    """Decode JSON from outside. Raises orjson.JSONDecodeError, also for nesting beyond `depth` levels.

    The decoder itself refuses text with lone surrogates or bytes that are no UTF-8, and numbers that are not finite.
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
    """Whether the value that was decoded from `data` is nested beyond `depth` levels."""
    opened = data.count("[") + data.count("{") if isinstance(data, str) else data.count(b"[") + data.count(b"{")
    # nearly every document has fewer brackets than that, and need not be gone through
    return opened > depth and _deeper_than(value, depth)


def fault(value: object, depth: int = DEPTH) -> Fault | None:
    """What keeps data that was not read as JSON from being a value we can keep; None if nothing does."""
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
    """A count or an index that another program gives, brought into bounds; None for what is no number."""
    return max(0, min(int(value), MOST)) if isinstance(value, int | float) and type(value) is not bool else None


def clean(text: str) -> str:
    """The text with U+FFFD for what is no UTF-8: for a name or a path that is shown, not for one that is opened."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def readable(text: str, most: int) -> str:
    """At most `most` characters of a text from outside, to be shown: what drives a terminal or turns text round is escaped.

    A carriage return before a newline is left out; newlines and tabs stay.
    """
    cut = text[:most].replace("\r\n", "\n")
    return _DRIVES.sub(_escaped, cut) + ("\u2026" if len(text) > most else "")


def one_line(text: str, most: int) -> str:
    """As `readable`, on one line: for a log, where a line break would let the text pose as a line of ours."""
    return _BREAKS.sub(_escaped, readable(text, most))


def is_clean(text: str) -> bool:
    """Whether the text can be encoded as UTF-8."""
    return text.isascii() or _SURROGATES.search(text) is None


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
