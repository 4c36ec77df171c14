"""Change the plugins and marketplaces of a home, one change at a time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import trio

from spindle.actors.tools.git_clone import GitFailed, Wanted, clone
from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.values import loads
from spindle.storage.config import ConfigLoader
from spindle.storage.config.layers import OF_USER, merge_layers
from spindle.storage.durable import make_folder, replace
from spindle.storage.home import Home
from spindle.storage.outside import TEXT, read_file
from spindle.storage.plugins.cache import PluginCache, copy, discard
from spindle.storage.plugins.catalogue import Catalogue, catalogue, checkout, folder_of
from spindle.storage.plugins.configured import (
    ConfiguredMarketplace,
    add_marketplace,
    enable_plugin,
    forget_marketplace,
    forget_plugin,
)
from spindle.storage.plugins.manifest import inside
from spindle.storage.plugins.marketplaces import (
    AuthPolicy,
    Entry,
    FolderSource,
    GitSource,
    Marketplace,
    marketplace_file,
    read_marketplace,
)
from spindle.storage.plugins.plugin_ids import PluginError, PluginId, check_marketplace
from spindle.storage.plugins.sources import marketplace_source

_INSTALLED: Final = ".codex-marketplace-install.json"
T = TypeVar("T")


@frozen
class AddedMarketplace:
    """A marketplace that was added, or was there before."""

    name: str
    root: Path
    already: bool


@frozen(kw_only=True)
class Upgraded:
    """The git marketplaces that were looked at, the folders of those that have changed, and failures: (name, reason)."""

    selected: Sequence[str]
    roots: Sequence[Path]
    errors: Sequence[tuple[str, str]]


class Plugins:
    """The plugins of a runtime. What blocks runs in worker threads; a change waits for the one before it.

    Methods raise PluginError for what cannot be done, GitFailed, ConfigError and OSError.
    """

    def __init__(self, home: Home, loader: ConfigLoader) -> None:
        self._home = home
        self._loader = loader
        self._changing = trio.Lock()
        self.cache = PluginCache(home)
        self.user = Path.home()

    def catalogue(self, cwds: Sequence[Path] = ()) -> Catalogue:
        """The marketplaces, with those of the repositories around `cwds`. Blocks on the disk."""
        return catalogue(self._home, self.user, self.tables("marketplaces"), cwds)

    def tables(self, key: str) -> Mapping[str, Any]:
        """`[plugins]` or `[marketplaces]` of the user. Blocks on the disk."""
        layers = self._loader.load(None).layers
        return mapping(merge_layers([one for one in layers if one.source["type"] in OF_USER]).get(key))

    async def add_marketplace(
        self, source: str, cwd: str, ref: str | None, sparse_paths: Sequence[str]
    ) -> AddedMarketplace:
        """Add the marketplace in a folder, or clone one."""
        async with self._changing:
            wanted = await _apart(marketplace_source, source, cwd, self.user, ref, sparse_paths)
            known = await _apart(self._configured, wanted)
            if known is not None:
                return AddedMarketplace(known.name, known.root, True)
            if wanted.source_type == "local":
                root = Path(wanted.source)
                name = (await _apart(_marketplace_of, root)).name
                await _apart(self._check_free, name)
            else:
                name, root = await self._cloned(wanted, self._check_free)
            await _apart(add_marketplace, self._home.config_file, name, wanted)
            return AddedMarketplace(name, root, False)

    async def remove_marketplace(self, name: str) -> Path | None:
        """Remove a marketplace; returns the folder of a clone, which is removed too. Its plugins stay installed."""
        check_marketplace(name)
        async with self._changing:
            return await _apart(self._remove_marketplace, name)

    async def upgrade(self, name: str | None) -> Upgraded:
        """Clone one or all git marketplaces again, and install those of their plugins that are installed again."""
        async with self._changing:
            tables = await _apart(self.tables, "marketplaces")
            found = {key: ConfiguredMarketplace.of(table) for key, table in sorted(tables.items())}
            wanted = {key: one for key, one in found.items() if one is not None and one.source_type == "git"}
            if name is not None:
                if name not in wanted:
                    raise PluginError(f"marketplace `{name}` is not configured as a Git marketplace")
                wanted = {name: wanted[name]}
            roots: list[Path] = []
            errors: list[tuple[str, str]] = []
            for key, one in wanted.items():
                try:
                    check_marketplace(key)
                    if await self._upgraded(key, one):
                        roots.append(checkout(self._home, key))
                except (PluginError, GitFailed, OSError) as error:
                    errors.append((key, str(error)))
            return Upgraded(selected=list(wanted), roots=roots, errors=errors)

    async def install(self, file: Path, name: str) -> AuthPolicy:
        """Install and enable a plugin of the marketplace in `file`."""
        async with self._changing:
            marketplace = await _apart(read_marketplace, file)
            entry = marketplace.find(name, install=True)
            plugin = PluginId(entry.name, marketplace.name)
            try:
                await self._install(marketplace, entry, plugin)
            except GitFailed as error:
                raise PluginError(str(error)) from error
            await _apart(enable_plugin, self._home.config_file, plugin)
            return entry.auth_policy

    async def uninstall(self, plugin: PluginId) -> None:
        """Remove a plugin and its table."""
        async with self._changing:
            await _apart(self.cache.remove, plugin)
            await _apart(forget_plugin, self._home.config_file, plugin)

    async def _install(self, marketplace: Marketplace, entry: Entry, plugin: PluginId) -> None:
        match entry.source:
            case FolderSource(path):
                if path.exists() and not inside(marketplace.root, path):
                    raise PluginError(f"the folder of plugin `{entry.name}` is a link that leads out of its marketplace")
                await _apart(self.cache.install, plugin, path)
            case GitSource() as source:
                paths = () if source.path is None else (source.path,)
                async with self._staged(Wanted(url=source.url, ref=source.ref, sha=source.sha, paths=paths)) as (folder, _):
                    path = folder if source.path is None else folder / source.path
                    if source.path is not None and not inside(folder, path):
                        raise PluginError(f"the folder of plugin `{entry.name}` leads out of its repository")
                    await _apart(self.cache.install, plugin, path)
            case _:
                raise PluginError(f"plugin `{entry.name}` is from an npm registry, which is not supported")

    async def _upgraded(self, name: str, one: ConfiguredMarketplace) -> bool:
        def unchanged(found: str, revision: str) -> None:
            if found != name:
                raise PluginError(f"the marketplace is called `{found}` now")
            if _revision(checkout(self._home, name)) == revision:
                raise _Unchanged

        try:
            _, root = await self._cloned(one, unchanged)
        except _Unchanged:
            return False
        marketplace = await _apart(_marketplace_of, root)
        for entry in marketplace.listed:
            plugin = PluginId(entry.name, name)
            if await _apart(self.cache.root, plugin) is not None:
                await self._install(marketplace, entry, plugin)
        return True

    async def _cloned(self, wanted: ConfiguredMarketplace, check: Callable[[str, str], None]) -> tuple[str, Path]:
        """Clone a marketplace into its place, if `check(name, commit)` does not raise; its name and folder."""
        cloning = Wanted(url=wanted.source, ref=wanted.ref, paths=wanted.sparse_paths)
        async with self._staged(cloning) as (folder, revision):
            name = (await _apart(_marketplace_of, folder)).name
            await _apart(check, name, revision)
            place = checkout(self._home, name)
            await _apart(_settle, folder, place, wanted, revision)
            return name, place

    @asynccontextmanager
    async def _staged(self, wanted: Wanted) -> AsyncGenerator[tuple[Path, str]]:
        """(A clone for the block, its commit)."""
        staging = self._home.path / ".tmp"
        await _apart(make_folder, staging)
        folder = Path(await _apart(partial(tempfile.mkdtemp, prefix="spindle-clone-", dir=staging)))
        try:
            revision = await clone(wanted, folder / "checkout")
            yield folder / "checkout", revision
        finally:
            with trio.CancelScope(shield=True):
                await _apart(partial(shutil.rmtree, folder, ignore_errors=True))

    def _configured(self, wanted: ConfiguredMarketplace) -> AddedMarketplace | None:
        for name, table in self.tables("marketplaces").items():
            if ConfiguredMarketplace.of(table) == wanted:
                root = folder_of(self._home, name, wanted)
                if root.is_dir():
                    return AddedMarketplace(name, root, True)
        return None

    def _check_free(self, name: str, revision: str = "") -> None:
        if name in self.tables("marketplaces"):
            raise PluginError(
                f"marketplace '{name}' is already added from a different source; remove it before adding this source"
            )

    def _remove_marketplace(self, name: str) -> Path | None:
        place = checkout(self._home, name)
        table = self.tables("marketplaces").get(name)
        if table is None and not place.exists():
            raise PluginError(f"marketplace `{name}` is not configured or installed")
        forget_marketplace(self._home.config_file, name)
        if not place.exists():
            return None
        discard(place)
        return place


class _Unchanged(Exception):
    """The marketplace has not changed since it was cloned."""


def _marketplace_of(root: Path) -> Marketplace:
    file = marketplace_file(root)
    if file is None:
        raise PluginError(f"invalid marketplace file `{root}`: marketplace root does not contain a supported manifest")
    return read_marketplace(file)


def _settle(folder: Path, place: Path, wanted: ConfiguredMarketplace, revision: str) -> None:
    """Put a checked clone, without its repository, into the place of a marketplace."""
    fresh = folder.with_name("fresh")
    copy(folder, fresh)
    about = {
        "source_type": "git",
        "source": wanted.source,
        "ref_name": wanted.ref,
        "sparse_paths": list(wanted.sparse_paths),
        "revision": revision,
    }
    replace(fresh / _INSTALLED, orjson.dumps(about, option=orjson.OPT_INDENT_2))
    make_folder(place.parent)
    discard(place)
    fresh.rename(place)


def _revision(place: Path) -> object:
    try:
        return mapping(loads(read_file(place / _INSTALLED, TEXT))).get("revision")
    except (OSError, orjson.JSONDecodeError):
        return None


async def _apart(work: Callable[..., T], *args: Any) -> T:
    """In a worker thread; a change of files is not left half done by a cancellation."""
    return await trio.to_thread.run_sync(work, *args)
