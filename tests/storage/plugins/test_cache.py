"""Installed plugins: whole copies, without links, within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spindle.storage.home import Home
from spindle.storage.plugins import cache
from spindle.storage.plugins.cache import PluginCache
from spindle.storage.plugins.plugin_ids import PluginError, PluginId

from .made import plugin, write

ALPHA = PluginId("alpha", "mk")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_a_plugin_is_copied_without_its_links(home: Home, tmp_path: Path) -> None:
    source = plugin(tmp_path, "alpha")
    (source / "secret").symlink_to("/etc/passwd")
    (source / "loop").symlink_to(source)
    (source / ".git").mkdir()
    (source / ".git/config").write_text("x")
    os.mkfifo(source / "pipe")
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o777)
    PluginCache(home).install(ALPHA, source)
    root = home.path / "plugins/cache/mk/alpha/1.2.3"
    assert PluginCache(home).root(ALPHA) == root
    assert files(root) == [
        ".codex-plugin/plugin.json", ".mcp.json", "hooks/hooks.json", "run", "skills/doit/SKILL.md",
    ]  # fmt: skip
    assert (root / "run").stat().st_mode & 0o777 == 0o755 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_new_version_replaces_the_old_one(home: Home, tmp_path: Path) -> None:
    plugins = PluginCache(home)
    plugins.install(ALPHA, plugin(tmp_path / "one", "alpha"))
    plugins.install(ALPHA, plugin(tmp_path / "two", "alpha", version="2.0"))
    plugins.install(ALPHA, plugin(tmp_path / "three", "alpha", version=None))
    assert [path.name for path in (home.path / "plugins/cache/mk/alpha").iterdir()] == ["local"]
    assert os.listdir(home.path / "plugins/cache/mk") == ["alpha"]
    (home.path / "plugins/cache/mk/.alpha.1-ff/1.0").mkdir(parents=True)  # left by a crash
    plugins.remove(ALPHA)
    plugins.remove(ALPHA)
    assert plugins.root(ALPHA) is None
    assert os.listdir(home.path / "plugins/cache/mk") == []


def test_of_several_versions_the_highest_counts(home: Home) -> None:
    place = home.path / "plugins/cache/mk/alpha"
    for version in ("1.9.0", "1.10.0", "1.2"):
        (place / version).mkdir(parents=True)
    assert PluginCache(home).root(ALPHA) == place / "1.10.0"
    (place / "local").mkdir()
    assert PluginCache(home).root(ALPHA) == place / "local"


@pytest.mark.parametrize("version", ["../../x", "..", ".", "a/b", "a b"])
def test_a_version_that_is_no_name_of_a_folder_is_refused(home: Home, tmp_path: Path, version: str) -> None:
    with pytest.raises(PluginError, match="invalid plugin version"):
        PluginCache(home).install(ALPHA, plugin(tmp_path, "alpha", version=version))


def test_a_plugin_with_another_name_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="name `beta` does not match marketplace plugin name `alpha`"):
        PluginCache(home).install(ALPHA, plugin(tmp_path, "beta"))
    with pytest.raises(PluginError, match=r"missing plugin\.json"):
        PluginCache(home).install(ALPHA, tmp_path / "nothing")
    (tmp_path / "alpha/.codex-plugin").mkdir(parents=True)
    write(tmp_path / "outside.json", {"name": "alpha"})
    (tmp_path / "alpha/.codex-plugin/plugin.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(PluginError, match="link that leads out"):
        PluginCache(home).install(ALPHA, tmp_path / "alpha")


@pytest.mark.parametrize(("bound", "most"), [("ENTRIES", 5), ("BYTES", 100), ("DEPTH", 1)])
def test_a_plugin_beyond_a_bound_leaves_the_old_one(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    plugins = PluginCache(home)
    plugins.install(ALPHA, plugin(tmp_path / "one", "alpha"))
    monkeypatch.setattr(cache, bound, most)
    with pytest.raises(PluginError, match="more than"):
        plugins.install(ALPHA, plugin(tmp_path / "two", "alpha", version="2.0"))
    root = plugins.root(ALPHA)
    assert root is not None
    assert root.name == "1.2.3"
    assert os.listdir(root.parent.parent) == ["alpha"]
