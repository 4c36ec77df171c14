"""Changing config.toml: what the user wrote stays as it is, comments and order included."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from spindle.storage.config.errors import ConfigError
from spindle.storage.durable import PRIVATE, make_folder, replace
from spindle.storage.locks import locked
from spindle.storage.outside import TEXT, read_file

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def edit(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Apply `change` to the parsed file and put the result in its place, whole or not at all. Blocking.

    A file that does not exist is begun empty. One writer at a time, by a lock on a file beside it. It is on disk when this
    returns. Raises ConfigError for a file that is no TOML, and OSError.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    make_folder(path.parent)
    with locked(path.with_name(f"{path.name}.lock")):
        try:
            text = read_file(path, TEXT).decode("utf-8")
        except FileNotFoundError:
            text = ""
        except UnicodeDecodeError:
            raise ConfigError("the file is not UTF-8", path) from None
        try:
            document = tomlkit.parse(text)
        except TOMLKitError as error:
            raise ConfigError(str(error), path) from error
        change(document)
        target = Path(os.path.realpath(path))  # what a link leads to keeps its place, and its mode
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else PRIVATE
        replace(target, tomlkit.dumps(document).encode(), mode)
