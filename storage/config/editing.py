"""Edit config.toml, and keep the user's text, comments and order."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from spindle.storage.config.config_error import ConfigError
from spindle.storage.durable import PRIVATE, make_folder, replace
from spindle.storage.locks import locked
from spindle.storage.outside import TEXT, read_file

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


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

    _rewrite(path, changed)


def set_values(path: Path, values: Mapping[Sequence[str], str]) -> None:
    """Set strings in the file: keys from the top -> the string. As `edit`; no other value of the file changes.

    Raises ConfigError, also if the file has a form in which a value cannot be set.
    """

    def changed(text: str) -> str:
        for keys, value in values.items():
            text = _with_value(text, keys, value, path)
        return text

    _rewrite(path, changed)


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    make_folder(path.parent)
    with locked(path.with_name(f"{path.name}.lock")):
        try:
            text = read_file(path, TEXT).decode("utf-8")
        except FileNotFoundError:
            text = ""
        except UnicodeDecodeError:
            raise ConfigError("the file is not UTF-8", path) from None
        content = change(text).encode()
        target = Path(os.path.realpath(path))  # the target of a link is replaced, and keeps its mode
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else PRIVATE
        replace(target, content, mode)


def _parsed(text: str, path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError(str(error), path) from error


def _with_value(text: str, keys: Sequence[str], value: str, path: Path) -> str:
    """The text of a file with a value set in place, or in a table at the end: the one of the two that changes nothing else."""
    import tomlkit

    _parsed(text, path)
    try:
        wanted = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(error), path) from error
    table: Any = wanted
    for key in keys[:-1]:
        table = cast("dict[str, Any]", table).setdefault(key, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise ConfigError(f"`{'.'.join(keys[:-1])}` is not a table", path)
    table[keys[-1]] = value
    header, last = (".".join(tomlkit.item(key).as_string() for key in part) for part in (keys[:-1], keys[-1:]))
    line = f"{last} = {tomlkit.item(value).as_string()}"
    for made in (_in_place(text, keys, value), f"{text.rstrip()}\n\n[{header}]\n{line}\n"):
        with suppress(tomllib.TOMLDecodeError):
            if made is not None and tomllib.loads(made) == wanted:
                return made
    raise ConfigError(f"this file cannot be changed by a program; set in its table [{header}]: {line}", path)


def _in_place(text: str, keys: Sequence[str], value: str) -> str | None:
    """None if the library fails: it has faults with dotted keys and with tables in several pieces."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import InlineTable

    document = tomlkit.parse(text)
    table: Any = document
    try:
        for key in keys[:-1]:
            if key not in table:
                table[key] = tomlkit.inline_table() if isinstance(table, InlineTable) else tomlkit.table()
            table = table[key]
        table[keys[-1]] = value
        return tomlkit.dumps(document)
    except (TOMLKitError, LookupError, ValueError, TypeError):
        return None
