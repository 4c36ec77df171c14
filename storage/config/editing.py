"""Edit config.toml, and keep the user's text, comments and order."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.programs import hash_of
from spindle.storage.config.tables import filled, put
from spindle.storage.config.toml import parse_file
from spindle.storage.durable import PRIVATE, make_folder, replace
from spindle.storage.locks import locked
from spindle.storage.outside import TEXT, read_file

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_NAMED: Final = 3
"""The most values that an error names."""
_MOST: Final = 30
"""The most values that are changed one by one."""


def edit(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Apply `change` to the parsed file and replace the file atomically. Blocking.

    A missing file starts empty. A lock file allows one writer at a time. The result is fsynced. Raises ConfigError for
    a file that is not TOML, and OSError.
    """
    import tomlkit

    def changed(text: str) -> str:
        document = _parsed(text, path)
        change(document)
        return tomlkit.dumps(document)

    rewrite(path, changed)


def set_values(path: Path, values: Mapping[Sequence[str], str]) -> None:
    """Set strings in the file: keys from the top -> the string. As `edit`; no other value of the file changes.

    Raises ConfigError, also if the file has a form in which a value cannot be set.
    """

    def changed(text: str) -> str:
        content = parse_file(path, text.encode())
        for keys, value in values.items():
            content = put(content, keys, value)
            text = follow(text, content, path)
        return text

    rewrite(path, changed)


def follow(text: str, wanted: Mapping[str, Any], path: Path) -> str:
    """The text of a file, changed to have the values that are `wanted`; comments and order of all others are kept.

    The library that edits has faults with dotted keys and with tables in several pieces. So its result is read again, and
    counts only if it has these values. Else what is new is added as tables at the end, or the values are changed one by
    one. Raises ConfigError if nothing works. A table that becomes empty may vanish.
    """
    have = parse_file(path, text.encode())
    if _same(have, wanted):
        return text
    if (made := _at_once(text, have, wanted, path)) is not None:
        return made
    todo = list(islice(_changes(have, wanted), _MOST + 1))
    while len(todo) <= _MOST:
        for keys in todo:
            made = _at_once(text, have, put(have, keys, _value(wanted, keys)), path)
            if made is not None:
                break
        else:
            break
        text, have = made, parse_file(path, made.encode())
        todo = list(_changes(filled(have), filled(wanted)))
        if not todo:
            return text
    advice = ", ".join(_advice(keys, wanted) for keys in todo[:_NAMED])
    raise ConfigError(f"this file has a form that a program cannot change; {advice} yourself", path)


def _at_once(text: str, have: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> str | None:
    for made in (_in_place(text, have, wanted), _at_the_end(text, have, wanted)):
        with suppress(ConfigError):
            if made is not None and _same(filled(parse_file(path, made.encode())), filled(wanted)):
                return made
    return None


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Replace the text of the file atomically by what `change` makes of it, as `edit`. An unchanged file is not written."""
    make_folder(path.parent)
    with locked(path.with_name(f"{path.name}.lock")):
        try:
            text = read_file(path, TEXT).decode("utf-8")
        except FileNotFoundError:
            text = ""
        except UnicodeDecodeError:
            raise ConfigError("the file is not UTF-8", path) from None
        changed = change(text)
        if changed == text:
            return
        target = Path(os.path.realpath(path))  # the target of a link is replaced, and keeps its mode
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else PRIVATE
        replace(target, changed.encode(), mode)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the values are the same, of the same types."""
    return hash_of(one) == hash_of(other)


def _changes(have: Mapping[str, Any], wanted: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys, from the top, of the values that differ."""
    for key in (*wanted, *(key for key in have if key not in wanted)):
        old, new = have.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(cast("dict[str, Any]", old), cast("dict[str, Any]", new), (*at, key))
        elif not _same({"": old}, {"": new}):
            yield (*at, key)


def _in_place(text: str, have: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The text with each difference at its place; None if the library fails."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        for keys in _changes(have, wanted):
            _change(document, keys, wanted)
        return tomlkit.dumps(document)
    except (TOMLKitError, LookupError, ValueError, TypeError, AttributeError):
        return None


def _change(document: Any, keys: Sequence[str], wanted: Mapping[str, Any]) -> None:
    from tomlkit.items import InlineTable

    *above, last = keys
    table = document
    for key in above:
        table = table[key]
    value = _value(wanted, keys)
    if value is None or isinstance(table.get(last), dict):  # a table's place is not that of another value
        del table[last]
    if value is not None:
        table[last] = _item(value, inline=isinstance(table, InlineTable))


def _value(wanted: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """The value at the keys; None if there is none. All above it are tables."""
    *above, last = keys
    for key in above:
        wanted = wanted[key]
    return wanted.get(last)


def _advice(keys: Sequence[str], wanted: Mapping[str, Any]) -> str:
    """What to change, as a line of the file."""
    import tomlkit

    name = ".".join(tomlkit.key(key).as_string() for key in keys)
    value = _value(wanted, keys)
    return f"remove `{name}`" if value is None else f"set `{name} = {_item(value, inline=True).as_string()}`"


def _at_the_end(text: str, have: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The text with what is new as tables at its end; None if something else than that is wanted."""
    import tomlkit

    new: dict[str, Any] = {}
    for keys in _changes(have, wanted):
        if (value := _value(wanted, keys)) is None:
            return None
        new = put(new, keys, value)
    return f"{text.rstrip()}\n\n{tomlkit.dumps(_item(new, inline=False))}"


def _item(value: Any, *, inline: bool) -> Any:
    """A value as the library writes it. A table that has only tables needs no header."""
    import tomlkit

    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        bare = bool(members) and all(isinstance(member, dict) for member in members.values())
        table: Any = tomlkit.inline_table() if inline else tomlkit.table(is_super_table=bare)
        for key, member in sorted(members.items(), key=lambda pair: isinstance(pair[1], dict)):
            table[key] = _item(member, inline=inline)
        return table
    if isinstance(value, list):
        array: Any = tomlkit.array()
        for element in cast("Sequence[Any]", value):
            array.append(_item(element, inline=True))
        return array
    return cast("Any", tomlkit.item(value))


def _parsed(text: str, path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError(str(error), path) from error
