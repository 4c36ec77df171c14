"""Layers of configuration, strongest first: session flags, project folders (nearest first), user, system."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.values import fault
from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.programs import hash_of
from spindle.storage.config.tables import merge
from spindle.storage.outside import planted

if TYPE_CHECKING:
    from spindle.storage.config.project import Project

Trust: TypeAlias = Literal["trusted", "untrusted"]
OF_USER: Final = ("system", "user", "sessionFlags")
"""The types of layers that are not a project's."""


@frozen
class Layer:
    """One source of settings.

    `source` is its JSON name for clients (`{"type": "user", "file": …}`). A disabled layer is shown, with the reason,
    but does not count. `project` is set for a project's layer that counts; `config` then has only its settings that
    count.
    """

    source: Mapping[str, Any]
    config: Mapping[str, Any]
    disabled_reason: str | None = None
    project: Project | None = None

    @property
    def is_user(self) -> bool:
        """Whether it is the user's config.toml, and not a profile beside it."""
        return self.source["type"] == "user" and "profile" not in self.source

    @property
    def version(self) -> str:
        """A hash of the values: comments and order do not change it."""
        return hash_of(self.config)

    def metadata(self) -> Mapping[str, Any]:
        """Name and version, as in `origins`."""
        return {"name": self.source, "version": self.version}


def merge_layers(layers: Sequence[Layer]) -> dict[str, Any]:
    """The settings of all enabled layers, given strongest first."""
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        if layer.disabled_reason is None:
            merged = merge(merged, layer.config)
    return merged


def origins(layers: Sequence[Layer]) -> dict[str, Mapping[str, Any]]:
    """Dotted path of each leaf -> its layer. Elements of a list are leaves with their index."""
    found: dict[str, Mapping[str, Any]] = {}
    for layer in reversed(layers):
        if layer.disabled_reason is not None:
            continue
        metadata = layer.metadata()
        for path in _leaves(layer.config, ""):
            found[path] = metadata
    return found


def nest(overrides: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Dotted overrides as tables. A later override wins; null ones are omitted. Raises ConfigError if nested too deeply."""
    root: dict[str, Any] = {}
    for dotted, value in overrides:
        if value is None:
            continue
        *tables, last = dotted.split(".")
        table = root
        for name in tables:
            below: Any = table.get(name)
            if not isinstance(below, dict):
                below = table[name] = {}
            table = cast("dict[str, Any]", below)
        old: Any = table.get(last)
        both = isinstance(old, dict) and isinstance(value, dict)
        table[last] = merge(cast("dict[str, Any]", old), cast("dict[str, Any]", value)) if both else value
    if (wrong := fault(root)) is not None:
        raise ConfigError(f"invalid override {'.'.join(wrong.keys)[:200]}: {wrong.reason}")
    return root


def project_root(cwd: Path, markers: Sequence[str] = (".git",)) -> Path:
    """The nearest folder at or above `cwd` with one of `markers`, else `cwd`. Blocking.

    A marker that another user put into a folder like /tmp does not count.
    """
    for folder in (cwd, *cwd.parents):
        found = [marker for marker in markers if os.path.exists(folder / marker)]  # False for an impossible file name
        if not all(planted(folder / marker) for marker in found):
            return folder
    return cwd


def folders_up(cwd: Path, root: Path) -> list[Path]:
    """From `cwd` up to and including `root`, which is `cwd` or above it."""
    found = [cwd]
    while found[-1] != root and found[-1] != found[-1].parent:
        found.append(found[-1].parent)
    return found


def trust_of(projects: object, *folders: Path) -> Trust | None:
    """The `trust_level` in `[projects."<folder>"]` of the first of `folders` that has one."""
    if not isinstance(projects, dict):
        return None
    table = cast("dict[str, object]", projects)
    for folder in folders:
        entry = table.get(str(folder))
        level = mapping(entry).get("trust_level")
        if level == "trusted":
            return "trusted"
        if level == "untrusted":
            return "untrusted"
    return None


def _leaves(value: object, path: str) -> Iterator[str]:
    members: Iterator[tuple[str, object]]
    if isinstance(value, dict):
        members = iter(cast("dict[str, object]", value).items())
    elif isinstance(value, list):
        members = ((str(index), member) for index, member in enumerate(cast("list[object]", value)))
    else:
        yield path
        return
    for key, member in members:
        yield from _leaves(member, f"{path}.{key}" if path else key)
