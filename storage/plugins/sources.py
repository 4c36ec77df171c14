"""What a client may name as the source of a marketplace: a folder, or a git repository."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from spindle.storage.plugins.configured import ConfiguredMarketplace
from spindle.storage.plugins.plugin_ids import PluginError

_FORMS: Final = "invalid marketplace source format; expected owner/repo, a git URL, or a local marketplace path"
_GITHUB: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SCP: Final = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^\s]+")
_SCHEMES: Final = ("https://", "http://", "ssh://", "file://")
_LOCAL: Final = ("./", "../", "/", "~/")


def marketplace_source(
    source: str, cwd: str, user: Path, ref: str | None = None, sparse_paths: Sequence[str] = ()
) -> ConfiguredMarketplace:
    """The marketplace that a client names. Relative folders are taken from `cwd`. Blocking. Raises PluginError."""
    source = source.strip()
    if not source:
        raise PluginError("marketplace source must not be empty")
    if source.startswith(_LOCAL) or source in (".", ".."):
        return _folder(source, cwd, user, ref, sparse_paths)
    for path in sparse_paths:
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise PluginError(f"invalid sparse checkout path: {path}")
    url, own = _split(source)
    if ref is not None and own is not None and ref != own:
        raise PluginError("the source and `refName` name two different refs")
    return ConfiguredMarketplace(source_type="git", source=url, ref=ref or own, sparse_paths=tuple(sparse_paths))


def _folder(source: str, cwd: str, user: Path, ref: str | None, sparse_paths: Sequence[str]) -> ConfiguredMarketplace:
    if ref is not None:
        raise PluginError("--ref is only supported for git marketplace sources")
    if sparse_paths:
        raise PluginError("--sparse is only supported for git marketplace sources")
    named = str(user / source[2:]) if source.startswith("~/") else os.path.join(cwd, source)
    try:
        path = Path(named).resolve(strict=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PluginError(f"failed to resolve local marketplace source path: {reason}") from None
    if not path.is_dir():
        raise PluginError("local marketplace source must be a directory, not a file")
    return ConfiguredMarketplace(source_type="local", source=str(path))


def _split(source: str) -> tuple[str, str | None]:
    """The URL and the ref of `owner/repo`, `owner/repo@ref`, `<url>` or `<url>#ref`."""
    if source.startswith(_SCHEMES) or _SCP.fullmatch(source):
        url, _, ref = source.partition("#")
        return url, ref or None
    name, _, ref = source.partition("@")
    if _GITHUB.fullmatch(name) is None:
        raise PluginError(_FORMS)
    return f"https://github.com/{name.removesuffix('.git')}.git", ref or None
