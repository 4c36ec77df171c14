"""Which files and folders a search goes through."""

import os

import pytest

from spindle.storage.file_search import FoundPath, walk, walking


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / "root"
    root.mkdir()

    def make(*names, **contents):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(contents.get("text", ""))
        return root

    return make


def found(*roots, check=lambda: None):
    paths: list[FoundPath] = []
    walk([(str(root), str(root)) for root in roots], paths, check)
    return paths


def names(*roots):
    return sorted(one.path for one in found(*roots))


def test_all_files_and_folders_hidden_ones_too(tree):
    root = tree("a/b", ".hidden/c")
    assert names(root) == ["", ".hidden", ".hidden/c", "a", "a/b"]
    assert {one.path for one in found(root) if one.is_folder} == {"", ".hidden", "a"}


def test_links_are_followed_but_not_in_a_circle(tree):
    root = tree("a/file")
    (root / "link").symlink_to("a")
    (root / "a/up").symlink_to("..")
    (root / "broken").symlink_to("none")
    assert names(root) == ["", "a", "a/file", "link", "link/file"]


def test_what_git_ignores_is_left_out_in_a_repository_only(tree, tmp_path):
    root = tree("build/x", "a.log", "keep.log", "sub/b.log", "sub/build/y", "sub/mine")
    (root / ".gitignore").write_text("build/\n*.log\n!keep.log\n/mine\n")
    (root / "sub/.gitignore").write_text("!b.log\n")
    assert "a.log" in names(root)
    (root / ".git").mkdir()
    assert names(root) == ["", ".git", ".gitignore", "keep.log", "sub", "sub/.gitignore", "sub/b.log", "sub/mine"]
    assert names(root / "sub") == ["", ".gitignore", "b.log", "mine"]


def test_a_repository_in_a_repository_has_rules_of_its_own(tree):
    root = tree("inner/a.log", "a.log", "inner/.git/config", ".git/config")
    (root / ".gitignore").write_text("*.log\n")
    assert names(root) == ["", ".git", ".git/config", ".gitignore", "inner", "inner/.git", "inner/.git/config", "inner/a.log"]


def test_rules_of_the_user_and_of_the_repository_and_of_ignore_files(tree, tmp_path):
    root = tree("mine", "excluded", "other", ".git/config")
    (root / ".git/info").mkdir()
    (root / ".git/info/exclude").write_text("excluded\n.git\n")
    (tmp_path / "config/git").mkdir(parents=True)
    (tmp_path / "config/git/ignore").write_text("mine\n")
    assert names(root) == ["", "other"]
    (root / ".ignore").write_text("other\n!mine\n.ignore\n")
    assert names(root) == ["", "mine"]


def test_a_root_that_is_itself_ignored_is_searched(tree):
    root = tree("build/x", "build/y.log", ".git/config")
    (root / ".gitignore").write_text("build/\n*.log\n")
    assert names(root / "build") == ["", "x"]


def test_a_root_in_a_root_has_its_own_paths(tree):
    root = tree("sub/file", "other")
    rows = sorted((os.path.basename(one.root), one.path) for one in found(root, root / "sub"))
    assert rows == [("root", ""), ("root", "other"), ("sub", ""), ("sub", ""), ("sub", "file"), ("sub", "file")]


def test_missing_roots_and_files_give_nothing(tree):
    root = tree("file")
    assert found(root / "none", root / "file") == []


def test_a_walk_is_bounded_and_can_be_stopped(tree, monkeypatch):
    root = tree(*[f"{number}/file" for number in range(10)])
    monkeypatch.setattr(walking, "MOST", 5)
    assert len(found(root)) == 5

    def check():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        found(root, check=check)
