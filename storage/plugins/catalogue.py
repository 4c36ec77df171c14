"""The marketplaces of a user: the user's own, those in config.toml, and those of repositories. Everything here blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from spindle.rpc.lazy_class import frozen
from spindle.storage.config.layers import project_root
from spindle.storage.home import Home
from spindle.storage.outside import planted
from spindle.storage.plugins.configured import ConfiguredMarketplace
from spindle.storage.plugins.marketplaces import FILES, Marketplace, marketplace_file, read_marketplace
from spindle.storage.plugins.plugin_ids import PluginError, is_marketplace

MOST: Final = 100
"""The most marketplaces that are read."""


@frozen
class Catalogue:
    """The marketplaces that can be read, and the faults of the others: (file, reason)."""

    marketplaces: Sequence[Marketplace]
    errors: Sequence[tuple[Path, str]]

    def named(self, name: str) -> Marketplace | None:
        """The marketplace of this name."""
        return next((one for one in self.marketplaces if one.name == name), None)


def checkout(home: Home, name: str) -> Path:
    """The folder of a marketplace that was cloned."""
    return home.path / ".tmp" / "marketplaces" / name


def folder_of(home: Home, name: str, marketplace: ConfiguredMarketplace) -> Path:
    """The folder of a configured marketplace."""
    return Path(marketplace.source) if marketplace.source_type == "local" else checkout(home, name)


def catalogue(home: Home, user: Path, tables: Mapping[str, Any], cwds: Sequence[Path] = ()) -> Catalogue:
    """All marketplaces. `user` is the user's home folder, `tables` is `[marketplaces]`; `cwds` add their repositories."""
    found: dict[Path, Marketplace] = {}
    errors: list[tuple[Path, str]] = []
    for root in _roots(home, user, tables, cwds):
        file = marketplace_file(root)
        if file is None or file in found or len(found) >= MOST:
            continue
        try:
            found[file] = read_marketplace(file)
        except PluginError as error:
            errors.append((file, str(error)))
        except OSError as error:
            errors.append((file, f"failed to read marketplace file: {error.strerror or error}"))
    return Catalogue(list(found.values()), errors)


def _roots(home: Home, user: Path, tables: Mapping[str, Any], cwds: Sequence[Path]) -> Iterator[Path]:
    yield user
    for name in sorted(tables):
        marketplace = ConfiguredMarketplace.of(tables[name])
        if marketplace is not None and is_marketplace(name):
            yield folder_of(home, name, marketplace)
    for cwd in cwds:
        root = project_root(Path(os.path.abspath(cwd)))
        if not any(planted(root / file) for file in FILES):
            yield root
