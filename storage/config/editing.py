"""Changing config.toml: what the user wrote stays as it is, comments and order included."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from spindle.storage.config.errors import ConfigError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def edit(path: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Apply `change` to the parsed file and put the result in its place, whole or not at all. Blocking.

    A file that does not exist is begun empty. One writer at a time, by a lock on a file beside it. Raises ConfigError
    for a file that is no TOML, and OSError.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{path.name}.lock")):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        try:
            document = tomlkit.parse(text)
        except TOMLKitError as error:
            raise ConfigError(str(error), path) from error
        change(document)
        _replace(path, tomlkit.dumps(document))


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replace(path: Path, text: str) -> None:
    """Write through a link to the file behind it, and keep the file's mode."""
    target = Path(os.path.realpath(path))
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), target.stat().st_mode & 0o7777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
