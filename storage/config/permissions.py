"""`default_permissions` and `[permissions.<name>]`: the permission profile that config.toml asks for.

default_permissions = "mine" [permissions.mine.filesystem] ":root" = "read" "/home/me/.ssh" = "none"
[permissions.mine.filesystem.":project_roots"] "." = "write" "**/.env" = "none" [permissions.mine.network] enabled =
true

The keys are those of Codex's config.toml. Paths are absolute, start with `~`, or are special (`:root`, `:minimal`,
`:project_roots`, `:tmpdir`, `:slash_tmp`). A table under a path has paths below it; patterns can only remove access.
The result has the form of the protocol's `PermissionProfile`. An unknown special path grants nothing. Later versions
write `:workspace_roots` for `:project_roots` and `deny` for `none`, and have built-in profiles; all of that is
accepted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.layers import Layer

ACCESS: Final = ("read", "write", "none")
_PATTERN: Final = frozenset("*?[]")
_KINDS: Final = {":workspace_roots": "project_roots"}
"""Special names whose kind is not the name without its colon."""
_OPEN: Final = (("current_working_directory", "write"), ("slash_tmp", "write"), ("tmpdir", "write"))
BUILT_IN: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    ":read-only": (("root", "read"),),
    ":workspace": (("root", "read"), *_OPEN),
    ":danger-full-access": (("root", "write"),),
}
"""The built-in profiles of later versions of Codex."""


def chosen(raw: Mapping[str, Any], layers: Sequence[Layer]) -> Mapping[str, Any] | None:
    """The profile in force; None if `sandbox_mode` decides, because no layer or only a weaker one names a profile.

    Raises ConfigError.
    """
    for layer in layers:
        if layer.disabled_reason is None:
            if "default_permissions" in layer.config:
                return named(raw, str(raw["default_permissions"]))
            if "sandbox_mode" in layer.config:
                return None
    if raw.get("permissions") and raw.get("sandbox_mode") is None:
        raise ConfigError("config defines `[permissions]` profiles but does not set `default_permissions`")
    return None


def named(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The profile of this name. Raises ConfigError."""
    if (built_in := BUILT_IN.get(name)) is not None:
        entries = [
            {"path": {"type": "special", "value": {"kind": kind}}, "access": access} for kind, access in built_in
        ]
        return {"network": {"enabled": name == ":danger-full-access"}, "fileSystem": {"entries": entries}}
    profiles = raw.get("permissions")
    if not isinstance(profiles, Mapping):
        raise ConfigError("default_permissions requires a `[permissions]` table")
    profile: object = cast("Mapping[str, Any]", profiles).get(name)
    if profile is None:
        raise ConfigError(f"default_permissions refers to undefined profile `{name}`")
    where = f"permissions.{name}"
    table = _table(profile, where)
    files = dict(_table(table.get("filesystem"), f"{where}.filesystem"))
    depth = files.pop("glob_scan_max_depth", None)
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise ConfigError("glob_scan_max_depth must be at least 1")
    system: dict[str, Any] = {"entries": [entry for key, value in files.items() for entry in _entries(key, value)]}
    if depth is not None:
        system["globScanMaxDepth"] = depth
    enabled = _table(table.get("network"), f"{where}.network").get("enabled") is True
    return {"network": {"enabled": enabled}, "fileSystem": system}


def _entries(key: str, value: object) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        yield {"path": _path(key, None, _access(value)), "access": _access(value)}
        return
    for below, given in cast("Mapping[str, Any]", value).items():
        access = _access(given)
        if below != "." and not _below(below):
            raise ConfigError(f"filesystem subpath `{below}` must be a descendant path without `.` or `..` components")
        yield {"path": _path(key, None if below == "." else below, access), "access": access}


def _path(key: str, below: str | None, access: object) -> dict[str, Any]:
    if key.startswith(":"):
        kind = _KINDS.get(key, key[1:])
        if below is not None and kind != "project_roots":
            raise ConfigError(f"filesystem path `{key}` does not support nested entries")
        if below is not None and _is_pattern(below, access):
            return {"type": "glob_pattern", "pattern": below}  # relative to the working directory
        below = None if below is None else below.removesuffix("/**")
        return {"type": "special", "value": {"kind": kind} | ({} if below is None else {"subpath": below})}
    path = os.path.expanduser(key)
    if not os.path.isabs(path):
        raise ConfigError(f"filesystem path `{key}` must be absolute, use `~/...`, or start with `:`")
    path = path if below is None else os.path.join(path, below)
    if _is_pattern(path, access):
        return {"type": "glob_pattern", "pattern": path}
    return {"type": "path", "path": os.path.normpath(path.removesuffix("/**"))}


def _is_pattern(path: str, access: object) -> bool:
    if access == "none":
        return not _PATTERN.isdisjoint(path)
    if not _PATTERN.isdisjoint(path.removesuffix("/**")):
        raise ConfigError(
            f"filesystem glob path `{path}` only supports `none` access; use an exact path or trailing `/**` for "
            f"`{access}` subtree access"
        )
    return False


def _below(path: str) -> bool:
    return bool(path) and all(part not in ("", ".", "..") for part in path.split("/"))


def _access(value: object) -> str:
    if value == "deny":
        return "none"
    if value not in ACCESS:
        raise ConfigError(f"unknown variant `{value}`, expected one of `read`, `write`, `none`")
    return str(value)


def _table(value: object, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"`{where}` must be a table")
    return cast("Mapping[str, Any]", value)
