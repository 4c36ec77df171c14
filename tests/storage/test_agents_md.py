"""Instructions from AGENTS.md files."""

from pathlib import Path
from typing import Any

import pytest

from spindle.storage.agents_md import read_instructions
from spindle.storage.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    (path / ".git").mkdir(parents=True)
    (path / "sub").mkdir()
    (path / "AGENTS.md").write_text("root text\n")
    (path / "sub/AGENTS.md").write_text("sub text\n")
    return path


def names(home: Home, cwd: Path, **options: Any) -> list[str]:
    base = home.path.parent
    return [str(Path(source).relative_to(base)) for source in read_instructions(home, cwd, **options).sources]


def test_without_files(home: Home, tmp_path: Path) -> None:
    found = read_instructions(home, tmp_path)
    assert (found.text, found.sources) == (None, ())


def test_from_the_home_and_the_root_down(home: Home, repo: Path) -> None:
    (home.path / "AGENTS.md").write_text("home text\n\n")
    assert names(home, repo / "sub") == ["home/AGENTS.md", "repo/AGENTS.md", "repo/sub/AGENTS.md"]
    text = read_instructions(home, repo / "sub").text
    assert text == "home text\n\n--- project-doc ---\n\nroot text\n\n\nsub text\n"
    assert names(home, repo) == ["home/AGENTS.md", "repo/AGENTS.md"]
    assert read_instructions(home, home.path.parent).text == "home text"


def test_an_override_replaces_its_neighbour(home: Home, repo: Path) -> None:
    (repo / "sub/AGENTS.override.md").write_text("instead\n")
    assert names(home, repo / "sub") == ["repo/AGENTS.md", "repo/sub/AGENTS.override.md"]
    assert read_instructions(home, repo / "sub").text == "root text\n\n\ninstead\n"


def test_a_blank_override_empties_a_folder_but_not_the_home(home: Home, repo: Path) -> None:
    (home.path / "AGENTS.md").write_text("home text")
    (home.path / "AGENTS.override.md").write_text(" \n")
    (repo / "sub/AGENTS.override.md").write_text(" ")
    assert names(home, repo / "sub") == ["home/AGENTS.md", "repo/AGENTS.md", "repo/sub/AGENTS.override.md"]
    assert read_instructions(home, repo / "sub").text == "home text\n\n--- project-doc ---\n\nroot text\n"


def test_the_project_s_bytes_are_bounded(home: Home, repo: Path) -> None:
    (home.path / "AGENTS.md").write_text("home text")
    assert read_instructions(home, repo / "sub", max_bytes=12).text == (
        "home text\n\n--- project-doc ---\n\nroot text\n\n\nsu"
    )
    assert names(home, repo / "sub", max_bytes=10) == ["home/AGENTS.md", "repo/AGENTS.md"]
    assert read_instructions(home, repo / "sub", max_bytes=0).text == "home text"


def test_outside_a_project_only_the_cwd_counts(home: Home, tmp_path: Path) -> None:
    (tmp_path / "plain/below").mkdir(parents=True)
    (tmp_path / "plain/AGENTS.md").write_text("above")
    (tmp_path / "plain/below/AGENTS.md").write_text("here")
    assert names(home, tmp_path / "plain/below") == ["plain/below/AGENTS.md"]


def test_other_markers_and_names(home: Home, repo: Path) -> None:
    (repo / "sub/root.here").touch()
    (repo / "sub/AGENTS.md").rename(repo / "sub/OTHER.md")
    options: dict[str, Any] = {"root_markers": ["root.here"], "fallback_names": ["NONE.md", "OTHER.md"]}
    assert names(home, repo / "sub", **options) == ["repo/sub/OTHER.md"]
    assert names(home, repo / "sub", root_markers=[]) == []


def test_a_missing_folder_still_belongs_to_its_project(home: Home, repo: Path) -> None:
    assert names(home, repo / "not yet") == ["repo/AGENTS.md"]


def test_unreadable_files(home: Home, repo: Path) -> None:
    (repo / "AGENTS.md").write_bytes(b"caf\xe9")
    (repo / "sub/AGENTS.md").unlink()
    (repo / "sub/AGENTS.md").mkdir()
    found = read_instructions(home, repo / "sub")
    assert found.text == "caf\ufffd"
    assert found.sources == (str(repo / "AGENTS.md"),)


@pytest.mark.parametrize("name", ["auth.json", "config.toml", "secrets/local.age"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_link_to_the_homes_secrets_is_not_read(home: Home, repo: Path, name: str, relative: bool) -> None:
    (home.path / "secrets").mkdir()
    (home.path / name).write_text("SECRET")
    (repo / "sub/AGENTS.md").unlink()
    target = home.path / name
    (repo / "sub/AGENTS.md").symlink_to(Path("../..") / target.relative_to(repo.parent) if relative else target)
    found = read_instructions(home, repo / "sub")
    assert found.text == "root text\n"


def test_a_link_to_other_files_of_the_home_and_a_repository_around_it_count(home: Home, repo: Path) -> None:
    (home.path / "rules").mkdir()
    (home.path / "rules/shared.md").write_text("shared text")
    (home.path / ".git").mkdir()
    (repo / "sub/AGENTS.md").unlink()
    (repo / "sub/AGENTS.md").symlink_to(home.path / "rules/shared.md")
    assert "shared text" in (read_instructions(home, repo / "sub").text or "")
    (home.path / "AGENTS.md").write_text("home text")
    assert names(home, home.path) == ["home/AGENTS.md", "home/AGENTS.md"]
