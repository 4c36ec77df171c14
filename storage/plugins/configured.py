"""The tables of plugins and marketplaces in config.toml. Everything here blocks, and raises ConfigError and OSError."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping, sequence, text_or_none
from spindle.storage.config.editing import edit
from spindle.storage.plugins.plugin_ids import PluginId

SourceType: TypeAlias = Literal["local", "git"]
_PLUGINS: Final = "plugins"
_MARKETPLACES: Final = "marketplaces"


@frozen(kw_only=True)
class ConfiguredMarketplace:
    """`[marketplaces.<name>]`: where it is from. `ref` and `sparse_paths` are those of a git repository."""

    source_type: SourceType
    source: str
    ref: str | None = None
    sparse_paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: object) -> ConfiguredMarketplace | None:
        """The marketplace of a table; None if it has no usable source."""
        given = mapping(table)
        source, kind = text_or_none(given.get("source")), given.get("source_type")
        if not source or kind not in ("local", "git"):
            return None
        return cls(
            source_type="git" if kind == "git" else "local",
            source=source,
            ref=text_or_none(given.get("ref")),
            sparse_paths=tuple(path for path in sequence(given.get("sparse_paths")) if isinstance(path, str)),
        )


def enable_plugin(file: Path, plugin: PluginId) -> None:
    """Set `enabled` of a plugin."""

    def change(document: Any) -> None:
        _table(document, _PLUGINS).setdefault(str(plugin), {})["enabled"] = True

    edit(file, change)


def forget_plugin(file: Path, plugin: PluginId) -> None:
    """Remove a plugin's table, if there is one."""
    _forget(file, _PLUGINS, str(plugin))


def add_marketplace(file: Path, name: str, marketplace: ConfiguredMarketplace) -> None:
    """Set the table of a marketplace."""
    values: dict[str, object] = {"source_type": marketplace.source_type, "source": marketplace.source}
    if marketplace.ref is not None:
        values["ref"] = marketplace.ref
    if marketplace.sparse_paths:
        values["sparse_paths"] = list(marketplace.sparse_paths)

    def change(document: Any) -> None:
        _table(document, _MARKETPLACES)[name] = values

    edit(file, change)


def forget_marketplace(file: Path, name: str) -> None:
    """Remove the table of a marketplace, if there is one."""
    _forget(file, _MARKETPLACES, name)


def _table(document: Any, key: str) -> Any:
    import tomlkit

    if key not in document:
        document[key] = tomlkit.table(is_super_table=True)
    return document[key]


def _forget(file: Path, key: str, name: str) -> None:
    def change(document: Any) -> None:
        tables: Mapping[str, Any] = document.get(key) or {}
        if name in tables:
            del document[key][name]
            if not document[key]:
                del document[key]

    edit(file, change)
