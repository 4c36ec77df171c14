"""What a docstring says of the parameters of a function, in the styles of Google, NumPy and reST."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

_GOOGLE: Final = re.compile(r"(Args|Arguments|Parameters|Params):\s*", re.IGNORECASE)
_ITEM: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY: Final = re.compile(r"(\w+)\s*(?::.*)?()")
_FIELD: Final = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)")


def described(text: str, names: Collection[str]) -> tuple[str, Mapping[str, str]]:
    """(the docstring without what it says of its parameters, that by the name of the parameter).

    Only `names` are parameters. A docstring that says nothing of them is returned as it is.
    """
    lines, rest, found = text.splitlines(), list[str](), dict[str, str]()
    number = 0
    while number < len(lines):
        line = lines[number]
        if _GOOGLE.fullmatch(line):
            end = _end(lines, number + 1, 1)
            body, pattern = lines[number + 1 : end], _ITEM
        elif line.strip() == "Parameters" and number + 1 < len(lines) and re.fullmatch("-{3,}", lines[number + 1]):
            end = _section_end(lines, number + 2)
            body, pattern = lines[number + 2 : end], _NUMPY
        elif _FIELD.match(line):
            end = _end(lines, number + 1, 1)
            body, pattern = lines[number:end], _FIELD
        else:
            rest.append(line)
            number += 1
            continue
        taken = _items(body, pattern, names)
        if not taken:
            rest += lines[number:end]
        found |= taken
        number = end
    return "\n".join(rest).strip(), found


def _items(body: Sequence[str], pattern: re.Pattern[str], names: Collection[str]) -> dict[str, str]:
    """The items of a section: lines with the smallest indentation begin one, deeper ones go on with it."""
    shallow = min((_indent(line) for line in body if line.strip()), default=0)
    found: dict[str, list[str]] = {}
    name = ""
    for line in body:
        head = pattern.fullmatch(line.strip()) if _indent(line) == shallow else None
        if head is not None and head[1] in names:
            name = head[1]
            found[name] = [head[2]]
        elif name and line.strip():
            found[name].append(line.strip())
    return {one: " ".join(part for part in parts if part) for one, parts in found.items()}


def _end(lines: Sequence[str], start: int, least: int) -> int:
    """The first line from `start` on that is text with less indentation than `least`."""
    for number in range(start, len(lines)):
        if lines[number].strip() and _indent(lines[number]) < least:
            return number
    return len(lines)


def _section_end(lines: Sequence[str], start: int) -> int:
    """The next heading of NumPy's style, which is underlined."""
    for number in range(start, len(lines) - 1):
        if lines[number].strip() and re.fullmatch("-{3,}", lines[number + 1]):
            return number
    return len(lines)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
