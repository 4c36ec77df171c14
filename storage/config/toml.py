"""Read TOML files, with the places of faults."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from spindle.rpc.protocol.values import TOO_DEEP, fault
from spindle.storage.config.config_error import ConfigError
from spindle.storage.overrides import plain

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")


def parse_file(path: Path, data: bytes) -> Mapping[str, Any]:
    """Parse the bytes of a config file; dates and times become strings. Raises ConfigError with the place."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "the file is not UTF-8", path, line, error.start - data.rfind(b"\n", 0, error.start)
        ) from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        if (place := _PLACE.search(reason)) is not None:
            reason = reason[: place.start()]
            if place[1] is not None:
                line, column = int(place[1]), int(place[2])
        raise ConfigError(reason[:1].lower() + reason[1:], path, line, column) from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, arrays in arrays in arrays
        raise ConfigError(TOO_DEEP if isinstance(error, RecursionError) else str(error), path) from None
    if (wrong := fault(content)) is not None:
        raise ConfigError(wrong.reason, path, *(find_value(data, wrong.keys) or ()))
    return cast("Mapping[str, Any]", plain(content))


def find_value(data: bytes, keys: tuple[str, ...]) -> tuple[int, int] | None:
    """Line and column (from 1) of a key's value, for error messages; None for forms that a scan by lines cannot find."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        if (header := _HEADER.fullmatch(line)) is not None:
            table = _parts(header[1])
            continue
        name, equals, value = line.partition("=")
        if equals and (*table, *_parts(name)) == keys:
            return number, len(name) + len(equals) + len(value) - len(value.lstrip()) + 1
    return None


def find_key(data: bytes, keys: tuple[str, ...]) -> tuple[int, int] | None:
    """Line and column (from 1) of the first mention of a key, before a value or in a table's header."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            table = named = _parts(header[1])
        else:
            name, equals, _ = line.partition("=")
            if not equals:
                continue
            named = (*table, *_parts(name))
        if named[: len(keys)] == keys:
            return number, len(line) - len(line.lstrip()) + 1
    return None


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
