"""marketplace.json: the plugins that a marketplace offers. Everything here blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping, mapping, objects, sequence, text_or_none
from spindle.rpc.protocol.values import loads
from spindle.storage.outside import TEXT, read_file
from spindle.storage.plugins.manifest import within
from spindle.storage.plugins.plugin_ids import PluginError, check_marketplace, check_plugin, is_plugin

FILES: Final = (".agents/plugins/marketplace.json", ".claude-plugin/marketplace.json")
MOST: Final = 1_000
"""The most plugins of one marketplace; the rest is left out."""
_PRODUCT: Final = "CODEX"

InstallPolicy: TypeAlias = Literal["NOT_AVAILABLE", "AVAILABLE", "INSTALLED_BY_DEFAULT"]
AuthPolicy: TypeAlias = Literal["ON_INSTALL", "ON_USE"]
_INSTALL: Final[Mapping[object, InstallPolicy]] = {
    "NOT_AVAILABLE": "NOT_AVAILABLE",
    "INSTALLED_BY_DEFAULT": "INSTALLED_BY_DEFAULT",
}


@frozen
class FolderSource:
    """A plugin in the marketplace's own folder."""

    path: Path


@frozen(kw_only=True)
class GitSource:
    """A plugin in a git repository, perhaps in a folder of it."""

    url: str
    path: str | None = None
    ref: str | None = None
    sha: str | None = None


@frozen(kw_only=True)
class NpmSource:
    """A plugin in a registry of npm."""

    package: str
    version: str | None = None
    registry: str | None = None


Source: TypeAlias = FolderSource | GitSource | NpmSource


@frozen(kw_only=True)
class Entry:
    """One plugin of a marketplace. `category` replaces that of its plugin.json."""

    name: str
    source: Source
    install_policy: InstallPolicy
    auth_policy: AuthPolicy
    offered: bool
    """Whether it is for this product."""
    category: str | None


@frozen(kw_only=True)
class Marketplace:
    """A marketplace: its file, the folder that its paths start from, and what it offers."""

    name: str
    file: Path
    root: Path
    display_name: str | None
    has_interface: bool
    entries: Sequence[Entry]

    @property
    def listed(self) -> Sequence[Entry]:
        """The plugins that clients see."""
        return [entry for entry in self.entries if entry.offered and is_plugin(entry.name)]

    def find(self, name: str, *, install: bool = False) -> Entry:
        """The plugin of this name; `install`: it is to be installed. Raises PluginError."""
        entry = next((one for one in self.entries if one.name == name), None)
        if entry is None or (not entry.offered and not install):
            raise PluginError(f"plugin `{name}` was not found in marketplace `{self.name}`")
        check_plugin(entry.name)
        if install and (not entry.offered or entry.install_policy == "NOT_AVAILABLE"):
            raise PluginError(f"plugin `{name}` is not available for install in marketplace `{self.name}`")
        return entry


def marketplace_file(root: Path) -> Path | None:
    """The marketplace.json of a folder; None if it has none."""
    return next((file for name in FILES if (file := root / name).is_file()), None)


def read_marketplace(file: Path) -> Marketplace:
    """Read a marketplace.json. Raises PluginError, OSError."""
    root = next((file.parents[len(Path(name).parts) - 1] for name in FILES if file.match(name)), None)
    try:
        data = read_file(file, TEXT)
    except (FileNotFoundError, NotADirectoryError):
        raise PluginError(f"marketplace file `{file}` does not exist") from None
    if root is None:
        raise PluginError(_invalid(file, "marketplace file is not in a supported location"))
    try:
        members = loads(data)
    except orjson.JSONDecodeError as error:
        raise PluginError(_invalid(file, str(error))) from error
    if not is_mapping(members):
        raise PluginError(_invalid(file, "expected an object"))
    for key, kind in (("name", str), ("plugins", list)):
        if key not in members:
            raise PluginError(_invalid(file, f"missing field `{key}`"))
        if not isinstance(members[key], kind):
            raise PluginError(_invalid(file, f"`{key}` has the wrong type"))
    try:
        check_marketplace(members["name"])
    except PluginError as error:
        raise PluginError(_invalid(file, str(error))) from None
    interface: object = members.get("interface")
    return Marketplace(
        name=members["name"],
        file=file,
        root=root,
        display_name=text_or_none(mapping(interface).get("displayName")),
        has_interface=is_mapping(interface),
        entries=list(_entries(objects(members["plugins"])[:MOST], root)),
    )


def _invalid(file: Path, reason: str) -> str:
    return f"invalid marketplace file `{file}`: {reason}"


def _entries(listed: Sequence[Mapping[str, Any]], root: Path) -> Iterator[Entry]:
    seen: set[str] = set()
    for one in listed:
        name, source = text_or_none(one.get("name")), _source(one.get("source"), root)
        if name is None or source is None or name in seen:
            continue
        seen.add(name)
        policy = mapping(one.get("policy"))
        products: object = policy.get("products")
        yield Entry(
            name=name,
            source=source,
            install_policy=_INSTALL.get(policy.get("installation"), "AVAILABLE"),
            auth_policy="ON_USE" if policy.get("authentication") == "ON_USE" else "ON_INSTALL",
            offered=products is None or _PRODUCT in sequence(products),
            category=text_or_none(one.get("category")),
        )


def _source(given: object, root: Path) -> Source | None:
    """The source of a plugin; None for a form that is not supported, or a path that leaves the marketplace."""
    if isinstance(given, str):
        return _folder(given, root)
    table = mapping(given)
    url, path = text_or_none(table.get("url")), text_or_none(table.get("path"))
    match table.get("source"):
        case "local":
            return _folder(path, root)
        case "url" | "git-subdir" if url:
            inner = path and os.path.normpath(path.removeprefix("./"))
            if inner and (inner.startswith(("/", "..")) or "\0" in inner):
                return None
            ref, sha = text_or_none(table.get("ref")), text_or_none(table.get("sha"))
            return GitSource(url=url, path=inner or None, ref=ref, sha=sha)
        case "npm" if package := text_or_none(table.get("package")):
            version, registry = text_or_none(table.get("version")), text_or_none(table.get("registry"))
            return NpmSource(package=package, version=version, registry=registry)
        case _:
            return None


def _folder(named: str | None, root: Path) -> FolderSource | None:
    path = within(root, named)
    return None if path is None or path == root else FolderSource(path)
