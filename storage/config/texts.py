"""Texts of config.toml in separate files: `model_instructions_file` and `experimental_compact_prompt_file`."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from spindle.storage.config.config_error import ConfigError
from spindle.storage.outside import TEXT, read_file

FILES: Final[Mapping[str, str]] = {
    "model_instructions_file": "model instructions file",
    "experimental_compact_prompt_file": "experimental compact prompt file",
}
"""Key -> the name of its file in errors."""

_Signature: TypeAlias = tuple[int, int, int]


class TextFiles:
    """Reads such files, each again only after a change. Blocking; may be shared by worker threads."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Signature, str]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, what: str) -> str:
        """The text without surrounding blanks. Raises ConfigError, which calls the file `what`, if there is no text."""
        try:
            found = os.stat(path)
            signature = (found.st_mtime_ns, found.st_size, found.st_ino)
            with self._lock:
                known = self._known.get(path)
            if known is not None and known[0] == signature:
                return known[1]
            text = read_file(path, TEXT).decode("utf-8").strip()
        except OSError as error:
            raise ConfigError(f"failed to read {what} {path}: {error.strerror} (os error {error.errno})") from None
        except UnicodeDecodeError:
            raise ConfigError(f"failed to read {what} {path}: the file is not UTF-8") from None
        if not text:
            raise ConfigError(f"{what} is empty: {path}")
        with self._lock:
            self._known[path] = (signature, text)
        return text
