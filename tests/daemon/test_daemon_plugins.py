"""Plugins and marketplaces through a daemon: what clients are answered, and what threads then have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.driving import Refused
from tests.storage.plugins.made import marketplace, plugin, write

from .model import Endpoint
from .process import Daemon

SERVER = Path(__file__).parents[1] / "actors" / "tools" / "mcp" / "tiny_server.py"
INTERFACE = {"displayName": "Alpha!", "category": "Coding", "logo": "./logo.png", "composerIcon": "../icon.png"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A marketplace with the plugins `alpha` and `beta`."""
    root = tmp_path / "market"
    alpha = plugin(root / "plugins", "alpha", interface=INTERFACE, description="An alpha.", keywords=["first"])
    plugin(root / "plugins", "beta")
    write(alpha / ".mcp.json", {"mcpServers": {"tiny": {"command": sys.executable, "args": ["-S", "-E", str(SERVER)]}}})
    return marketplace(root, "mk", "alpha", "beta")


def names(answer: Any) -> list[tuple[str, list[str]]]:
    return [(one["name"], [plugin["id"] for plugin in one["plugins"]]) for one in answer["marketplaces"]]


def test_a_plugin_is_found_installed_used_and_removed(
    home: Path, file: Path, launch: Callable[..., Daemon], endpoint: Endpoint
) -> None:
    client = launch().client()
    assert client.call("plugin/installed") == {"marketplaces": [], "marketplaceLoadErrors": []}
    root = str(file.parents[2])
    added = {"marketplaceName": "mk", "installedRoot": root}
    assert client.call("marketplace/add", source=root) == {**added, "alreadyAdded": False}
    assert client.call("marketplace/add", source=root) == {**added, "alreadyAdded": True}
    assert names(client.call("plugin/list")) == [("mk", ["alpha@mk", "beta@mk"])]
    assert names(client.call("plugin/installed", installSuggestionPluginNames=["beta"])) == [("mk", ["beta@mk"])]
    which = {"marketplacePath": str(file), "pluginName": "alpha"}
    detail = client.call("plugin/read", **which)["plugin"]
    summary = detail["summary"]
    assert (summary["installed"], summary["enabled"], summary["localVersion"]) == (False, False, "1.2.3")
    assert summary["source"] == {"type": "local", "path": f"{root}/plugins/alpha"}
    shown = summary["interface"]
    assert (shown["displayName"], shown["logo"], shown["composerIcon"]) == ("Alpha!", f"{root}/plugins/alpha/logo.png", None)
    assert [skill["name"] for skill in detail["skills"]] == ["alpha:doit"]
    assert (detail["mcpServers"], [hook["eventName"] for hook in detail["hooks"]]) == (["tiny"], ["stop"])

    assert client.call("plugin/install", **which) == {"authPolicy": "ON_INSTALL", "appsNeedingAuth": []}
    assert (home / "config.toml").read_text().endswith('[plugins."alpha@mk"]\nenabled = true\n')
    assert names(client.call("plugin/installed")) == [("mk", ["alpha@mk"])]
    found = client.call("skills/list", cwds=[str(home)])["data"][0]["skills"]
    assert [(skill["name"], skill["pluginId"]) for skill in found] == [("alpha:doit", "alpha@mk")]
    [hook] = client.call("hooks/list", cwds=[str(home)])["data"][0]["hooks"]
    assert (hook["source"], hook["pluginId"], hook["trustStatus"]) == ("plugin", "alpha@mk", "untrusted")

    thread = client.start_thread()
    client.run_turn(thread["id"], "$alpha:doit and [@alpha](plugin://alpha@mk)")
    request = json.dumps(endpoint.requests.entries[-1])
    assert "The user has mentioned the plugin `Alpha!`" in request
    assert "<name>alpha:doit</name>" in request
    assert "This tool is part of plugin `Alpha!`." in request

    assert client.call("plugin/uninstall", pluginId="alpha@mk") == {}
    assert names(client.call("plugin/installed")) == []
    assert "plugins" not in (home / "config.toml").read_text()
    assert client.call("marketplace/remove", marketplaceName="mk") == {"marketplaceName": "mk", "installedRoot": None}
    assert "marketplaces" not in (home / "config.toml").read_text()
    assert client.call("skills/list", cwds=[str(home)])["data"][0]["skills"] == []


def git(folder: Path, *words: str) -> None:
    own = ["-c", "user.name=n", "-c", "user.email=e@example.test", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *own, *words], check=True, capture_output=True)


def test_a_repository_is_cloned_upgraded_and_removed(home: Path, file: Path, launch: Callable[..., Daemon]) -> None:
    client = launch().client()
    repository = file.parents[2]
    git(repository, "init", "-b", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "first")
    source = f"file://{repository}"
    clone = home / ".tmp/marketplaces/mk"
    added = client.call("marketplace/add", source=source)
    assert added == {"marketplaceName": "mk", "installedRoot": str(clone), "alreadyAdded": False}
    assert client.call("marketplace/add", source=source)["alreadyAdded"] is True
    with pytest.raises(Refused, match="already added from a different source"):
        client.call("marketplace/add", source=source, refName="main")
    assert sorted(path.name for path in clone.iterdir()) == [".agents", ".codex-marketplace-install.json", "plugins"]
    assert sorted(path.name for path in clone.parent.parent.iterdir()) == ["marketplaces"]
    which = {"marketplacePath": str(clone / ".agents/plugins/marketplace.json"), "pluginName": "alpha"}
    client.call("plugin/install", **which)
    assert client.call("marketplace/upgrade") == {"selectedMarketplaces": ["mk"], "upgradedRoots": [], "errors": []}
    write(repository / "plugins/alpha/.codex-plugin/plugin.json", {"name": "alpha", "version": "2.0"})
    git(repository, "commit", "-am", "second")
    upgraded = client.call("marketplace/upgrade", marketplaceName="mk")
    assert upgraded == {"selectedMarketplaces": ["mk"], "upgradedRoots": [str(clone)], "errors": []}
    assert [path.name for path in (home / "plugins/cache/mk/alpha").iterdir()] == ["2.0"]
    (repository / ".git").rename(repository / "gone")
    [error] = client.call("marketplace/upgrade")["errors"]
    assert error["marketplaceName"] == "mk"
    assert "does not exist" in error["message"] or "not appear to be a git repository" in error["message"]
    assert clone.is_dir()
    assert client.call("marketplace/remove", marketplaceName="mk")["installedRoot"] == str(clone)
    assert not clone.exists()
    assert client.call("plugin/uninstall", pluginId="alpha@mk") == {}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("plugin/read", {"pluginName": "x"}, "plugin/read requires exactly one of marketplacePath or remoteMarketplaceName"),
    ("plugin/install", {"pluginName": "x", "marketplacePath": "/x.json"}, "marketplace file `/x.json` does not exist"),
    (
        "plugin/install",
        {"pluginName": "x", "remoteMarketplaceName": "r"},
        "read remote plugin details before install: chatgpt authentication required for remote plugin catalog",
    ),
    ("plugin/uninstall", {"pluginId": "a@../x"}, "invalid remote plugin id"),
    (
        "plugin/uninstall",
        {"pluginId": "x"},
        "resolve remote plugin before uninstall: chatgpt authentication required for remote plugin catalog",
    ),
    (
        "marketplace/remove",
        {"marketplaceName": "../x"},
        "invalid marketplace name: only ASCII letters, digits, `_`, and `-` are allowed",
    ),
    ("marketplace/remove", {"marketplaceName": "nope"}, "marketplace `nope` is not configured or installed"),
    ("marketplace/upgrade", {"marketplaceName": "nope"}, "marketplace `nope` is not configured as a Git marketplace"),
    (
        "plugin/list",
        {"marketplaceKinds": ["shared-with-me"]},
        "list remote plugin catalog: chatgpt authentication required for remote plugin catalog",
    ),
]


def test_what_cannot_be_done_is_refused(launch: Callable[..., Daemon]) -> None:
    client = launch().client()
    for method, params, message in REFUSED:
        with pytest.raises(Refused) as refused:
            client.call(method, **params)
        assert (refused.value.code, refused.value.message) == (-32600, message)


def test_a_search_has_pages_and_broken_marketplaces_are_listed(
    file: Path, tmp_path: Path, launch: Callable[..., Daemon]
) -> None:
    client = launch().client(experimentalApi=True)
    client.call("marketplace/add", source=str(file.parents[2]))
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    write(repository / ".agents/plugins/marketplace.json", {"name": "broken"})
    [error] = client.call("plugin/list", cwds=[str(repository / "below")])["marketplaceLoadErrors"]
    assert error["message"].endswith("missing field `plugins`")
    page = client.call("plugin/search", searchTerm=" A ", limit=1)
    assert [one["plugin"]["id"] for one in page["data"]] == ["alpha@mk"]
    page = client.call("plugin/search", searchTerm="a", limit=1, cursor=page["nextCursor"])
    assert ([one["plugin"]["id"] for one in page["data"]], page["nextCursor"]) == (["beta@mk"], None)
    assert [one["plugin"]["id"] for one in client.call("plugin/search", searchTerm="FIRST")["data"]] == ["alpha@mk"]
    assert client.call("plugin/search", searchTerm="")["data"] == []
    assert client.call("plugin/reconcile") == {
        "changedPlugins": [], "failedRemotePluginIds": [], "failedMaterializationRemotePluginIds": [],
    }  # fmt: skip
