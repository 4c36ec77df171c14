"""Searching skills in folders of a repository with any content."""

import os
from pathlib import Path

import pytest

from spindle.storage import skills
from spindle.storage.home import Home
from spindle.storage.skills import FoundSkills, find_skills


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    (path / ".git").mkdir(parents=True)
    (path / ".agents/skills").mkdir(parents=True)
    return path


def write(folder: Path, header: str = "description: d") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "SKILL.md"
    path.write_text(f"---\n{header}\n---\nbody\n")
    return path


def find(repo: Path) -> FoundSkills:
    return find_skills(Home(repo.parent / "home"), repo)


def names(found: FoundSkills) -> list[str]:
    return [skill.name for skill in found.skills]


def test_link_cycles_are_harmless(repo: Path) -> None:
    place = repo / ".agents/skills"
    write(place / "one")
    for number in range(12):
        (place / f"back{number}").symlink_to(place)
    (repo / ".codex").symlink_to(".agents")
    found = find(repo)
    assert (names(found), list(found.errors)) == (["one"], [])


def test_no_more_than_the_header_of_a_large_file_is_read(repo: Path) -> None:
    os.truncate(write(repo / ".agents/skills/large"), 600 << 20)
    long = write(repo / ".agents/skills/long", "x" * skills.HEADER)
    found = find(repo)
    assert names(found) == ["large"]
    assert list(found.errors) == [(str(long), "missing YAML frontmatter delimited by --- within 16384 bytes")]


def test_a_character_may_be_cut_at_the_end_of_the_read(repo: Path) -> None:
    path = write(repo / ".agents/skills/one")
    path.write_bytes(path.read_bytes().ljust(skills.HEADER - 1, b"x") + "é".encode())
    assert names(find(repo)) == ["one"]
    path.write_bytes(b"---\ndescription: \xff\n---\n")
    [(_, reason)] = find(repo).errors
    assert "can't decode" in reason


def test_a_pipe_is_not_a_skill(repo: Path) -> None:
    (repo / ".agents/skills/one").mkdir()
    os.mkfifo(repo / ".agents/skills/one/SKILL.md")
    assert find(repo) == FoundSkills([], [])


def test_skipped_skills_are_named_and_the_users_own_skills_are_kept(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        write(repo / f".agents/skills/skill{number}")
    write(repo.parent / "home/skills/own")
    monkeypatch.setattr(skills, "MOST", 3)
    found = find(repo)
    assert names(found) == ["own", "skill0", "skill1", "skill2"]
    [(path, reason)] = found.errors
    assert path.endswith("skill3/SKILL.md")
    assert "more than 3 skills" in reason
    monkeypatch.setattr(skills, "ENTRIES", 4)
    found = find(repo)
    assert names(found) == ["own"]
    [(path, reason)] = found.errors
    assert path == str(repo / ".agents/skills")
    assert "more than 4 files and folders" in reason


def test_below_roots_that_are_too_large_no_folder_is_watched(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repo / ".agents/skills/one")
    root = repo / ".agents/skills"
    assert {root, root / "one"} <= set(find(repo).folders)
    monkeypatch.setattr(skills, "ENTRIES", 1)
    folders = set(find(repo).folders)
    assert root in folders
    assert root / "one" not in folders
