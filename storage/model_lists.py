"""The cached model lists of providers, in `$CODEX_HOME/spindle/models/`, one file per provider.

Codex caches its list in `models_cache.json`: one file, which does not name its provider (0.124), or names it in a form
of its own (0.169). Spindle does not use that file, as each program would take one provider's models for another's. The
members are the same: `fetched_at`, `etag`, `client_version`, `models`.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import loads
from spindle.storage.config.checking import model_faults
from spindle.storage.durable import private_folder, replace
from spindle.storage.home import Home
from spindle.storage.outside import CATALOG, read_file


@frozen
class ModelList:
    """A provider's list, fetched at `fetched_at` (Unix seconds)."""

    entries: Sequence[Mapping[str, Any]]
    etag: str | None
    fetched_at: float


def usable(entries: Sequence[object]) -> list[Mapping[str, Any]]:
    """The entries that Spindle can use."""
    return [cast("Mapping[str, Any]", entry) for entry in entries if next(model_faults(entry), None) is None]


def read_list(home: Home, provider: str, version: str) -> ModelList | None:
    """The list of the provider at this address; None if this `version` of Spindle cached none. Blocking; never raises."""
    try:
        value: Any = loads(read_file(_path(home, provider), CATALOG))
        if value["client_version"] != version:
            return None
        fetched_at = datetime.datetime.fromisoformat(value["fetched_at"]).timestamp()
        return ModelList(usable(value["models"]), value.get("etag"), fetched_at)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_list(home: Home, provider: str, version: str, kept: ModelList) -> None:
    """Cache a provider's list; on failure it is fetched again later. Blocking; never raises."""
    fetched_at = datetime.datetime.fromtimestamp(kept.fetched_at, datetime.UTC).isoformat()
    value = {"fetched_at": fetched_at, "etag": kept.etag, "client_version": version, "models": list(kept.entries)}
    path = _path(home, provider)
    with suppress(OSError):
        private_folder(home.spindle)
        private_folder(path.parent)
        replace(path, orjson.dumps(value, option=orjson.OPT_INDENT_2))


def _path(home: Home, provider: str) -> Path:
    return home.spindle / "models" / f"{hashlib.sha256(provider.encode()).hexdigest()[:16]}.json"
