"""`app-server --strict-config` and `--print-startup-config`: what is checked before a server starts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spindle.rpc.protocol.user_agent import PROTOCOL_VERSION
from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.config.keys import Standing, judged, misspelt
from spindle.storage.home import Home
from spindle.storage.home_path import HomeError


def check(overrides: Sequence[tuple[str, Any]], *, strict: bool, show: bool) -> int | None:
    """The exit code; None if the server may start. `show` prints the administrator's requirements, or the error."""
    try:
        loader = ConfigLoader(Home.resolve(os.environ), overrides)
        config = loader.load(Path.cwd())
        config.check()
        if strict:
            for error in _unknown(loader):
                raise error
        demanded = loader.requirements().read()
    except (ConfigError, HomeError, OSError) as error:
        if show:
            _print({"error": _described(error)})
        print(f"spindle: {error}", file=sys.stderr)
        return 1
    if not show:
        return None
    _print({"appServerVersion": PROTOCOL_VERSION, "configRequirements": {"requirements": demanded}})
    return 0


def _unknown(loader: ConfigLoader) -> Iterator[ConfigError]:
    """The keys of the user's and the system's files, and of the overrides, that no version knows."""
    for layer in loader.layers():
        file = layer.source.get("file")
        path = None if file is None else Path(file)
        for keys, standing in judged(layer.config):
            if standing is Standing.UNKNOWN or (standing is Standing.REFUSED and misspelt(keys) is not None):
                where = "" if path else " in -c/--config override"
                place = path and loader.place(path, keys)
                yield ConfigError(f"unknown configuration field `{'.'.join(keys)}`{where}", path, *(place or ()))


def _described(error: Exception) -> dict[str, Any]:
    """The error as the protocol has it."""
    data: dict[str, Any] = {"reason": "configLoad", "detail": str(error)}
    if isinstance(error, ConfigError):
        at = {"filePath": error.path and str(error.path), "line": error.line, "column": error.column}
        data |= {key: value for key, value in at.items() if value is not None}
    return {"code": -32600, "message": f"failed to load configuration: {error}", "data": data}


def _print(answer: object) -> None:
    print(json.dumps(answer, ensure_ascii=False))
