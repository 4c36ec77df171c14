"""marketplace.json: names and paths that leave a marketplace are not followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle.storage.plugins.marketplaces import GitSource, read_marketplace
from spindle.storage.plugins.plugin_ids import PluginError, PluginId
from spindle.storage.plugins.sources import marketplace_source

from .made import marketplace, write

OUTSIDE = [
    {"source": "local", "path": "./../out"},
    {"source": "local", "path": "./a/../../out"},
    {"source": "local", "path": "/etc"},
    {"source": "local", "path": "plugins/a"},
    {"source": "local", "path": "./"},
    {"source": "local", "path": "./a\0b"},
    {"source": "git-subdir", "url": "https://example.test/x", "path": "../x"},
    {"source": "git-subdir", "url": "https://example.test/x", "path": "/x"},
    {"source": "github", "repo": "a/b"},
    "../out",
    7,
    None,
]


@pytest.mark.parametrize("source", OUTSIDE)
def test_a_plugin_outside_its_marketplace_is_not_offered(tmp_path: Path, source: object) -> None:
    file = marketplace(tmp_path, "mk", {"name": "bad", "source": source}, "good")
    found = read_marketplace(file)
    assert [entry.name for entry in found.entries] == ["good"]
    with pytest.raises(PluginError, match="plugin `bad` was not found in marketplace `mk`"):
        found.find("bad")


@pytest.mark.parametrize("name", ["../x", "a/b", "a@b", ".", "a..b", ".a", "a.", "a b", "x" * 200, ""])
def test_a_name_that_is_no_name_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    found = read_marketplace(marketplace(tmp_path, "mk", {"name": name, "source": "./plugins/a"}))
    assert found.listed == []
    with pytest.raises(PluginError, match="invalid plugin name"):
        found.find(name)
    assert PluginId.parse(f"{name}@mk") is None
    assert PluginId.parse("a.b@mk") == PluginId("a.b", "mk")


@pytest.mark.parametrize("name", ["../x", "a/b", "a.b", "", 7])
def test_a_marketplace_needs_a_name_that_is_one(tmp_path: Path, name: object) -> None:
    file = tmp_path / ".agents/plugins/marketplace.json"
    write(file, {"name": name, "plugins": []})
    with pytest.raises(PluginError, match=f"invalid marketplace file `{file}`"):
        read_marketplace(file)


def test_a_file_elsewhere_is_no_marketplace(tmp_path: Path) -> None:
    write(tmp_path / "marketplace.json", {"name": "mk", "plugins": []})
    with pytest.raises(PluginError, match="not in a supported location"):
        read_marketplace(tmp_path / "marketplace.json")


def test_policies_say_what_is_offered_and_installed(tmp_path: Path) -> None:
    def entry(name: str, **policy: object) -> object:
        return {"name": name, "source": f"./plugins/{name}", "policy": policy}

    file = marketplace(
        tmp_path,
        "mk",
        entry("other", products=["CHATGPT"]),
        entry("none", installation="NOT_AVAILABLE"),
        entry("use", authentication="ON_USE", products=["CODEX"]),
    )
    found = read_marketplace(file)
    assert [(one.name, one.install_policy, one.auth_policy) for one in found.listed] == [
        ("none", "NOT_AVAILABLE", "ON_INSTALL"),
        ("use", "AVAILABLE", "ON_USE"),
    ]
    for name in ("other", "none"):
        with pytest.raises(PluginError, match=f"plugin `{name}` is not available for install in marketplace `mk`"):
            found.find(name, install=True)


def test_a_repository_may_be_named_with_a_folder_and_a_commit(tmp_path: Path) -> None:
    source = {"source": "git-subdir", "url": "https://example.test/x", "path": "./a/b", "ref": "main", "sha": "ff"}
    [entry] = read_marketplace(marketplace(tmp_path, "mk", {"name": "a", "source": source})).entries
    assert entry.source == GitSource(url="https://example.test/x", path="a/b", ref="main", sha="ff")


SOURCES = {
    "own/repo": ("https://github.com/own/repo.git", None),
    "own/repo@v1": ("https://github.com/own/repo.git", "v1"),
    "https://example.test/x.git": ("https://example.test/x.git", None),
    "https://example.test/x.git#v1": ("https://example.test/x.git", "v1"),
    "git@example.test:a/b.git": ("git@example.test:a/b.git", None),
    "file:///srv/x": ("file:///srv/x", None),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_may_be_a_repository(tmp_path: Path, source: str) -> None:
    found = marketplace_source(source, "/", tmp_path)
    assert (found.source_type, (found.source, found.ref)) == ("git", SOURCES[source])


def test_a_source_may_be_a_folder_in_the_clients_directory(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for source in ("./m", str(tmp_path / "m"), "~/m"):
        found = marketplace_source(source, str(tmp_path), tmp_path)
        assert (found.source_type, found.source) == ("local", str(tmp_path / "m"))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "marketplace source must not be empty"),
        ("nope", "invalid marketplace source format"),
        ("a/b/c", "invalid marketplace source format"),
        ("--upload-pack=x/y", "invalid marketplace source format"),
        ("ext::sh -c x", "invalid marketplace source format"),
        ("/nope", "failed to resolve local marketplace source path"),
        (__file__, "must be a directory"),
    ],
)
def test_other_sources_are_refused(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        marketplace_source(source, "/", tmp_path)


def test_a_folder_has_no_ref_and_no_sparse_paths(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="--ref is only supported for git"):
        marketplace_source(str(tmp_path), "/", tmp_path, ref="main")
    with pytest.raises(PluginError, match="--sparse is only supported for git"):
        marketplace_source(str(tmp_path), "/", tmp_path, sparse_paths=["a"])
    with pytest.raises(PluginError, match="invalid sparse checkout path"):
        marketplace_source("own/repo", "/", tmp_path, sparse_paths=["../a"])
