"""Texts of config.toml in separate files: `model_instructions_file` and `experimental_compact_prompt_file`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from spindle.storage.config.config_error import ConfigError
from spindle.storage.outside import TEXT
from spindle.storage.parsed_files import ParsedFiles

FILES: Final[Mapping[str, str]] = {
    "model_instructions_file": "model instructions file",
    "experimental_compact_prompt_file": "experimental compact prompt file",
}
"""Key -> the name of its file in errors."""


class TextFiles:
    """Reads such files, each again only after a change. Blocking; may be shared by worker threads."""

    def __init__(self) -> None:
        self._files = ParsedFiles(TEXT, lambda _, data: data.decode("utf-8").strip())

    def read(self, path: Path, what: str) -> str:
        """The text without surrounding blanks. Raises ConfigError, which calls the file `what`, if there is no text."""
        try:
            text = self._files.read(path)
        except OSError as error:
            raise ConfigError(f"failed to read {what} {path}: {error.strerror} (os error {error.errno})") from None
        except UnicodeDecodeError:
            raise ConfigError(f"failed to read {what} {path}: the file is not UTF-8") from None
        if not text:
            raise ConfigError(f"{what} is empty: {path}")
        return text
