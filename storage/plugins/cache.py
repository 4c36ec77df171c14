"""The installed plugins of a home: `plugins/cache/<marketplace>/<plugin>/<version>`. Everything here blocks.

A plugin is copied beside its place and then renamed, so a reader never sees half a plugin. Links are left out, because
they could lead anywhere. The size of a copy has a bound.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from spindle.storage.config.programs import DEPTH, ENTRIES
from spindle.storage.durable import make_folder, sync_folder
from spindle.storage.home import Home
from spindle.storage.locks import locked
from spindle.storage.plugins.manifest import Manifest, read_manifest
from spindle.storage.plugins.plugin_ids import LOCAL_VERSION, PluginError, PluginId, check_version
from spindle.storage.regular import regular

BYTES: Final = 256 << 20
"""The most bytes of a plugin."""
_PIECE: Final = 1 << 18
_LEFT_OUT: Final = ".git"


class PluginCache:
    """The installed plugins of one home."""

    def __init__(self, home: Home) -> None:
        self._plugins = home.path / "plugins"
        self._lock = home.spindle / "plugins.lock"

    def root(self, plugin: PluginId) -> Path | None:
        """The folder of the version that counts; None if the plugin is not installed."""
        place = self._place(plugin)
        try:
            with os.scandir(place) as entries:
                versions = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return None
        if not versions:
            return None
        return place / (LOCAL_VERSION if LOCAL_VERSION in versions else max(versions, key=_order))

    def install(self, plugin: PluginId, source: Path) -> Manifest:
        """Copy a plugin's folder into the cache, in place of any other version of it. Raises PluginError, OSError."""
        if not source.is_dir():
            raise PluginError("missing plugin.json")
        manifest = read_manifest(source)
        if manifest.name != plugin.name:
            raise PluginError(
                f"plugin.json name `{manifest.name}` does not match marketplace plugin name `{plugin.name}`"
            )
        version = manifest.version or LOCAL_VERSION
        check_version(version)
        place = self._place(plugin)
        make_folder(place.parent)
        make_folder(self._lock.parent)
        with locked(self._lock):
            _sweep(place.parent)
            fresh = place.with_name(f".{plugin.name}.{os.getpid()}-{os.urandom(6).hex()}")
            try:
                make_folder(fresh)
                copy(source, fresh / version)
                _exchange(fresh, place)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
            sync_folder(place.parent)
        return read_manifest(place / version)

    def remove(self, plugin: PluginId) -> None:
        """Remove all versions of a plugin, if there are any. Raises OSError."""
        place = self._place(plugin)
        make_folder(self._lock.parent)
        with locked(self._lock):
            _sweep(place.parent)
            discard(place)

    def _place(self, plugin: PluginId) -> Path:
        return self._plugins / "cache" / plugin.marketplace / plugin.name


def _sweep(folder: Path) -> None:
    """Remove what a crash or a fault has left of earlier changes. The lock is held, so nothing of it is in use."""
    with suppress(FileNotFoundError):
        for entry in os.listdir(folder):
            if entry.startswith("."):
                shutil.rmtree(folder / entry, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder at once, by renaming it first. A link is removed, not what it names. Raises OSError."""
    gone = folder.with_name(f".{folder.name}.{os.getpid()}-{os.urandom(6).hex()}")
    try:
        os.rename(folder, gone)
    except FileNotFoundError:
        return
    try:
        sync_folder(folder.parent)
    finally:
        if gone.is_symlink():
            gone.unlink()
        else:
            shutil.rmtree(gone, ignore_errors=True)


def _exchange(fresh: Path, place: Path) -> None:
    """Put a folder in the place of another one, which is removed. What was there comes back if that fails."""
    old = place.with_name(f"{fresh.name}-old")
    with suppress(FileNotFoundError):
        os.rename(place, old)
    try:
        os.rename(fresh, place)
    except BaseException:
        with suppress(OSError):
            os.rename(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def copy(source: Path, target: Path) -> None:
    """Copy a folder's files and folders, without links, `.git` and other kinds of files; fsynced.

    Raises PluginError beyond a bound, OSError.
    """
    left = [ENTRIES, BYTES]
    os.mkdir(target, 0o755)
    _copy(source, target, left, DEPTH)


def _copy(source: Path, target: Path, left: list[int], depth: int) -> None:
    if depth == 0:
        raise PluginError(f"the plugin has more than {DEPTH} levels of folders")
    for entry in _entries(source):
        left[0] -= 1
        if left[0] < 0:
            raise PluginError(f"the plugin has more than {ENTRIES} files and folders")
        into = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            os.mkdir(into, 0o755)
            _copy(Path(entry.path), into, left, depth - 1)
        elif entry.is_file(follow_symlinks=False):
            _copy_file(entry.path, into, left)
    sync_folder(target)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name != _LEFT_OUT:
                yield entry


def _copy_file(source: str, target: Path, left: list[int]) -> None:
    try:
        read = regular(source, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:  # it has become a link
            return
        raise
    try:
        mode = 0o755 if os.fstat(read).st_mode & stat.S_IXUSR else 0o644
        write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            while piece := os.read(read, _PIECE):
                left[1] -= len(piece)
                if left[1] < 0:
                    raise PluginError(f"the plugin has more than {BYTES} bytes")
                view = memoryview(piece)
                while view:
                    view = view[os.write(write, view) :]
            os.fsync(write)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _order(version: str) -> list[tuple[int, int, str]]:
    """The order of versions: numbers by value, the rest as text; a number is more than a text."""
    return [(1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part) for part in re.split(r"[.+_-]", version)]
