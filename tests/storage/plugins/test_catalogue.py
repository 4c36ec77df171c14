"""The marketplaces of a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle.storage.home import Home
from spindle.storage.plugins.catalogue import catalogue

from .made import marketplace, write


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_the_users_the_configured_and_the_repositorys_marketplaces_are_found(home: Home, tmp_path: Path) -> None:
    marketplace(tmp_path / "user", "own")
    marketplace(tmp_path / "folder", "folder")
    marketplace(home.path / ".tmp/marketplaces/cloned", "cloned")
    (tmp_path / "repository/.git").mkdir(parents=True)
    marketplace(tmp_path / "repository", "repository")
    claude = tmp_path / "claude/.claude-plugin/marketplace.json"
    write(claude, {"name": "claude", "plugins": []})
    tables = {
        "folder": {"source_type": "local", "source": str(tmp_path / "folder")},
        "cloned": {"source_type": "git", "source": "https://example.test/x"},
        "claude": {"source_type": "local", "source": str(tmp_path / "claude")},
        "gone": {"source_type": "local", "source": "/nonexistent"},
        "odd": {"source_type": "carrier", "source": "x"},
    }
    found = catalogue(home, tmp_path / "user", tables, [tmp_path / "repository/below"])
    assert [one.name for one in found.marketplaces] == ["own", "claude", "cloned", "folder", "repository"]
    assert found.errors == []


def test_a_clone_is_only_searched_in_its_place(home: Home, tmp_path: Path) -> None:
    marketplace(tmp_path / "outside", "outside")
    (home.path / ".tmp/marketplaces").mkdir(parents=True)
    tables = {"../../../outside": {"source_type": "git", "source": "https://example.test/x"}}
    assert catalogue(home, tmp_path / "user", tables).marketplaces == []


def test_a_broken_marketplace_hides_no_other(home: Home, tmp_path: Path) -> None:
    broken = marketplace(tmp_path / "broken", "broken")
    broken.write_text("{")
    marketplace(tmp_path / "user", "own")
    found = catalogue(home, tmp_path / "user", {"x": {"source_type": "local", "source": str(tmp_path / "broken")}})
    assert [one.name for one in found.marketplaces] == ["own"]
    [(file, reason)] = found.errors
    assert file == broken
    assert reason.startswith(f"invalid marketplace file `{broken}`")
