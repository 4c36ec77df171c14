"""`config/value/write` and `config/batchWrite`: edits of the user's config.toml, and what overrides them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import DEPTH, TOO_DEEP
from spindle.storage.config.checking import faults
from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.editing import follow, rewrite
from spindle.storage.config.layers import Layer, merge_layers
from spindle.storage.config.loader import ConfigLoader
from spindle.storage.config.programs import hash_of
from spindle.storage.config.tables import at, put
from spindle.storage.config.toml import parse_file

Code: TypeAlias = Literal["configLayerReadonly", "configVersionConflict", "configValidationError", "configPathNotFound"]

_LARGEST: Final = 2**63 - 1
_CHANGED: Final = "Configuration was modified since last read. Fetch latest version and retry."


class WriteRefused(ConfigError):
    """A write is refused, and the file is as it was. `code` is the protocol's `config_write_error_code`."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@frozen
class Edit:
    """A value at a path of keys; None removes it. `upsert` merges a table into the table that is there."""

    keys: Sequence[str]
    value: object
    upsert: bool = False


@frozen
class Override:
    """A written value has no effect: `layer` is stronger, and `value` counts."""

    layer: Layer
    value: object

    @property
    def message(self) -> str:
        """What overrides the value."""
        if self.layer.source["type"] == "sessionFlags":
            return "Overridden by session flags"
        return f"Overridden by {self.layer.source['file']}"


@frozen
class Written:
    """The version of the written file, and what overrides the first value that has no effect."""

    version: str
    override: Override | None


def key_path(dotted: str) -> Sequence[str]:
    """The keys of a dotted path. A key in double quotes may have dots in it, and `\\` before a quote or a backslash.

    Raises WriteRefused.
    """
    if not dotted.strip():
        raise WriteRefused("configValidationError", "keyPath must not be empty")
    keys = tuple(islice(_segments(dotted), DEPTH + 1))
    if len(keys) > DEPTH:
        raise WriteRefused("configValidationError", TOO_DEEP)
    return keys


def _segments(dotted: str) -> Iterator[str]:
    at = 0
    while True:
        if quoted := dotted.startswith('"', at):
            key, at = _quoted(dotted, at + 1)
        else:
            end = dotted.find(".", at)
            key, at = dotted[at : end if end >= 0 else None], end if end >= 0 else len(dotted)
        if (not quoted and '"' in key) or dotted[at : at + 1] not in ("", "."):
            raise WriteRefused("configValidationError", "invalid quoted keyPath segment")
        if not key:
            raise WriteRefused("configValidationError", "keyPath segments must not be empty")
        yield key
        if at == len(dotted):
            return
        at += 1


def _quoted(dotted: str, at: int) -> tuple[str, int]:
    key = ""
    while at < len(dotted):
        match dotted[at]:
            case '"':
                return key, at + 1
            case "\\" if at + 1 < len(dotted):
                at += 1
                key += dotted[at]
            case other:
                key += other
        at += 1
    raise WriteRefused("configValidationError", "unterminated quoted keyPath segment")


def check_file(loader: ConfigLoader, file: Path | None) -> None:
    """Raise WriteRefused unless the file is the user's config.toml, the only one that is written."""
    ours = loader.home.config_file
    if file is not None and os.path.realpath(file) != os.path.realpath(ours):
        raise WriteRefused("configLayerReadonly", "Only writes to the user config are allowed")


def write(loader: ConfigLoader, edits: Sequence[Edit], expected: str | None = None) -> Written:
    """Write all edits into the user's config.toml, or none; fsynced. Blocking.

    `expected` is the version that the file must have. Raises WriteRefused, ConfigError for a broken file or one that a
    program cannot change, OSError.
    """
    return change(loader, lambda content: [*edits], expected)


def change(
    loader: ConfigLoader, decide: Callable[[Mapping[str, Any]], Sequence[Edit]], expected: str | None = None
) -> Written:
    """As `write`; `decide` gets the content of the file, which nobody else writes meanwhile, and gives the edits."""
    file = loader.home.config_file
    done: list[tuple[Sequence[Edit], Mapping[str, Any]]] = []

    def edited(text: str) -> str:
        content = parse_file(file, text.encode())
        if expected is not None and expected != hash_of(content):
            raise WriteRefused("configVersionConflict", _CHANGED)
        edits = decide(content)
        for edit in edits:
            try:
                content = put(content, edit.keys, _toml(edit.value), upsert=edit.upsert)
            except WriteRefused:
                raise
            except ConfigError as error:
                raise WriteRefused("configValidationError", error.reason) from None
        if edits:
            _check(loader, content)
        changed = follow(text, content, file)
        done[:] = [(edits, parse_file(file, changed.encode()))]
        return changed

    rewrite(file, edited)
    [(edits, content)] = done
    return Written(hash_of(content), _override(loader, edits, content))


def _check(loader: ConfigLoader, content: Mapping[str, Any]) -> None:
    layers = [layer for layer in loader.layers() if layer.source["type"] == "system"]
    for keys, reason in faults(merge_layers([Layer({"type": "user"}, content), *layers])):
        where = ".".join(keys)
        raise WriteRefused("configValidationError", f"Invalid configuration: {reason}\nin `{where}`\n")


def _toml(value: object) -> object:
    """The value, if TOML has it. Raises WriteRefused."""
    if value is not None:
        _no_null(value)
    return value


def _no_null(value: object) -> None:
    if value is None:
        raise WriteRefused("configValidationError", "invalid value: invalid type: null, expected any valid TOML value")
    if isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST:
        raise WriteRefused("configValidationError", "invalid value: u64 value was too large")
    if isinstance(value, dict | list):
        members = cast("dict[str, object]", value).values() if isinstance(value, dict) else cast("list[object]", value)
        for member in members:
            _no_null(member)


def _override(loader: ConfigLoader, edits: Sequence[Edit], content: Mapping[str, Any]) -> Override | None:
    layers = [
        Layer(layer.source, content) if layer.is_user else layer for layer in loader.layers()
    ]
    effective = merge_layers(layers)
    for edit in edits:
        value = at(effective, edit.keys)
        if value != at(content, edit.keys):
            stronger = next(layer for layer in layers if at(layer.config, edit.keys) is not None)
            return Override(stronger, value)
    return None
