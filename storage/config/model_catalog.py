"""The file of `model_catalog_json`: the models, which replace the built-in table.

Format: `{"models": [{"slug": …, …}, …]}`, as Codex 0.124 reads it and as its provider answers. Members that are not
read here may be missing or have any form.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import orjson

from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.values import loads
from spindle.storage.config.checking import model_faults
from spindle.storage.config.config_error import ConfigError
from spindle.storage.outside import CATALOG, read_file

Catalog: TypeAlias = Sequence[Mapping[str, Any]]
_KEY = "model_catalog_json path"


class CatalogFiles:
    """Reads such files, each again only after a change. Blocking; may be shared by worker threads."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], Catalog]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> Catalog:
        """The entries of a file, at least one. Raises ConfigError."""
        try:
            stat = os.stat(path)
            signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            with self._lock:
                known = self._known.get(path)
            if known is not None and known[0] == signature:
                return known[1]
            data = read_file(path, CATALOG)
        except OSError as error:
            raise ConfigError(f"{_KEY} `{path}`: {error.strerror} (os error {error.errno})") from None
        catalog = _parsed(path, data)
        with self._lock:
            self._known[path] = (signature, catalog)
        return catalog


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
