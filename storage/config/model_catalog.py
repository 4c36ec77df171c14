"""The file of `model_catalog_json`: the models, which replace the built-in table.

Format: `{"models": [{"slug": …, …}, …]}`, as Codex 0.124 reads it and as its provider answers. Members that are not
read here may be missing or have any form.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import orjson

from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.values import loads
from spindle.storage.config.checking import model_faults
from spindle.storage.config.config_error import ConfigError
from spindle.storage.outside import CATALOG
from spindle.storage.parsed_files import ParsedFiles

Catalog: TypeAlias = Sequence[Mapping[str, Any]]
_KEY = "model_catalog_json path"


class CatalogFiles:
    """Reads such files, each again only after a change. Blocking; may be shared by worker threads."""

    def __init__(self) -> None:
        self._files = ParsedFiles(CATALOG, _parsed)

    def read(self, path: Path) -> Catalog:
        """The entries of a file, at least one. Raises ConfigError."""
        try:
            return self._files.read(path)
        except OSError as error:
            raise ConfigError(f"{_KEY} `{path}`: {error.strerror} (os error {error.errno})") from None


def _parsed(path: Path, data: bytes) -> Catalog:
    try:
        value: object = loads(data)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"failed to parse {_KEY} `{path}` as JSON: {error}") from None
    entries = mapping(value).get("models")
    if not isinstance(entries, list):
        raise ConfigError(f"failed to parse {_KEY} `{path}` as JSON: missing field `models`")
    if not entries:
        raise ConfigError(f"{_KEY} `{path}` must contain at least one model")
    for number, entry in enumerate(cast("list[object]", entries)):
        for fault in model_faults(entry):
            raise ConfigError(f"failed to parse {_KEY} `{path}` as JSON: models[{number}]: {fault}")
    return cast("list[Mapping[str, Any]]", entries)
