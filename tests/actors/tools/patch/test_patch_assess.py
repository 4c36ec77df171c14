"""Which patches a confinement allows, allows after an approval, and never allows."""

from __future__ import annotations

import os

import pytest

from spindle.actors.tools.patch.assess import BLOCKED, OUTSIDE, Sealed, assess
from spindle.actors.tools.sandbox import confinement as confinements
from spindle.actors.tools.sandbox.confinement import NOTHING, Grants, Place, of_policy
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyPolicy,
    WorkspaceWritePolicy,
)


def workspace(*roots: str) -> WorkspaceWritePolicy:
    """The working directory and these roots, no temporary folders."""
    return WorkspaceWritePolicy(writable_roots=roots, exclude_tmpdir_env_var=True, exclude_slash_tmp=True)


def judged(tree, path, policy, tmpdir=None, granted=NOTHING, hunk="*** Add File: {}\n+x\n"):
    home = tree.root / "home"
    home.mkdir(exist_ok=True)
    confinement = of_policy(policy, Place(str(tree.root), str(home), tmpdir and str(tmpdir)), granted)
    found = assess(tree.plan(hunk.format(path)), confinement, policy)
    return (found.path, "sealed" if isinstance(found, Sealed) else found.reason) if found else None


@pytest.mark.parametrize("policy", [DangerFullAccessPolicy(), ExternalSandboxPolicy()])
def test_without_a_confinement_every_patch_is_allowed(policy, tree):
    assert judged(tree, "/etc/x", policy) is None
    assert judged(tree, "home/config.toml", policy) is None


def test_read_only_lets_nothing_through(tree):
    assert judged(tree, "a", ReadOnlyPolicy()) == (os.path.realpath(tree.root / "a"), BLOCKED)


def test_granted_folders_are_writable_under_read_only(tree):
    (tree.root / "sub").mkdir()
    granted = Grants({str(tree.root / "sub"): "write"}, network=False)
    assert judged(tree, "sub/a", ReadOnlyPolicy(), granted=granted) is None
    assert judged(tree, "a", ReadOnlyPolicy(), granted=granted) == (os.path.realpath(tree.root / "a"), BLOCKED)


@pytest.mark.parametrize("path", ["a", "sub/../b", ".github/x", "sub/.gitignore", "homes/x"])
def test_the_working_directory_is_writable(path, tree):
    assert judged(tree, path, workspace()) is None


@pytest.mark.parametrize(
    "path",
    [
        *("../a", "/etc/x", ".git/hooks/x", "sub/.git/config", ".git", ".GIT/x", ".codex/x", ".agents/x"),
        *("home/x", "home/sub/x"),
    ],
)
def test_outside_and_protected_paths_are_not_writable(path, tree):
    real = os.path.realpath(os.path.join(tree.root, path))
    assert judged(tree, path, workspace()) == (real, OUTSIDE)


def test_metadata_that_is_granted_itself_is_writable_and_no_other(tree):
    tree.write({".git/config": "", "sub/.git/config": ""})
    granted = Grants({str(tree.root / ".git"): "write"}, network=False)
    assert judged(tree, ".git/hooks/x", workspace(), granted=granted) is None
    real = os.path.realpath(tree.root / "sub/.git/hooks/x")
    assert judged(tree, "sub/.git/hooks/x", workspace(), granted=granted) == (real, OUTSIDE)


@pytest.mark.parametrize("policy", [ReadOnlyPolicy(), workspace()])
@pytest.mark.parametrize("hunk", ["*** Add File: {}\n+x\n", "*** Update File: {}\n@@\n-a\n+x\n", "*** Delete File: {}\n"])
@pytest.mark.parametrize("name", ["auth.json", "config.toml", "rules/r", "sessions/2026/x", "spindle/commands/x"])
def test_the_homes_own_files_are_sealed_even_where_they_are_granted(name, hunk, policy, tree):
    tree.write({f"home/{name}": "a\n"})
    real = os.path.realpath(tree.root / "home" / name)
    granted = Grants({real: "write"}, network=False)
    assert judged(tree, f"home/{name}", policy, granted=granted, hunk=hunk) == (real, "sealed")


def test_the_target_of_a_link_in_the_home_is_sealed(tree, tmp_path):
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    (dotfiles / "config.toml").write_text("a\n")
    (tree.root / "home").mkdir()
    (tree.root / "home/config.toml").symlink_to(dotfiles / "config.toml")
    real = os.path.realpath(dotfiles / "config.toml")
    assert judged(tree, real, workspace(str(dotfiles))) == (real, "sealed")
    link = os.path.join(os.path.realpath(tree.root), "home/config.toml")
    assert judged(tree, "home/config.toml", workspace(), hunk="*** Delete File: {}\n") == (link, "sealed")


@pytest.mark.parametrize("name", ["sandbox/enter.py", "sandbox/seccomp.py", "sandbox/new.py", "commands/warden.py"])
def test_the_code_that_confines_the_next_command_is_sealed(name, tree, monkeypatch):
    tree.write({"spindle/sandbox/confinement.py": "", f"spindle/{name}": "a\n"})
    monkeypatch.setattr(confinements, "__file__", str(tree.root / "spindle/sandbox/confinement.py"))
    real = os.path.realpath(tree.root / "spindle" / name)
    for granted in (NOTHING, Grants({real: "write"}, network=False)):
        assert judged(tree, f"spindle/{name}", workspace(), granted=granted) == (real, "sealed")
    assert judged(tree, "spindle/other.py", workspace()) is None


def test_further_roots_and_temporary_folders_are_writable_unless_excluded(tree, tmp_path):
    more, temporary = tmp_path / "more", tmp_path / "temporary"
    more.mkdir()
    temporary.mkdir()
    for path, open_, shut in (
        (more / "a", workspace(str(more)), workspace()),
        (temporary / "a", WorkspaceWritePolicy(exclude_slash_tmp=True), workspace()),
        ("/tmp/spindle-never-written", WorkspaceWritePolicy(exclude_tmpdir_env_var=True), workspace()),
    ):
        assert judged(tree, path, open_, temporary) is None
        assert judged(tree, path, shut, temporary) == (os.path.realpath(path), OUTSIDE)


def test_a_missing_root_is_left_out_as_for_commands(tree, tmp_path):
    missing = tmp_path / "missing"
    assert judged(tree, missing / "a", workspace(str(missing))) == (os.path.realpath(missing / "a"), OUTSIDE)


def test_a_root_behind_a_replaceable_link_is_left_out(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree.root / "link").symlink_to(outside)
    policy = workspace(str(tree.root / "link"))
    assert judged(tree, outside / "a", policy) == (os.path.realpath(outside / "a"), OUTSIDE)


def test_a_link_out_of_the_project_leads_outside(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree.root / "out").symlink_to(outside)
    (tree.root / "file").symlink_to(outside / "b")
    for path, real in (("out/a", outside / "a"), ("file", outside / "b")):
        assert judged(tree, path, workspace()) == (os.path.realpath(real), OUTSIDE)


def test_both_ends_of_a_move_count(tree, tmp_path):
    (tmp_path / "b").write_text("a\n")
    for source, goal in (("../b", "c"), ("d", "../e")):
        tree.write({"d": "a\n"})
        found = judged(tree, "", workspace(), hunk=f"*** Update File: {source}\n*** Move to: {goal}\n@@\n a\n")
        assert found == (os.path.realpath(tmp_path / ("b" if source == "../b" else "e")), OUTSIDE)


def metadata(tree, name):
    """Metadata elsewhere, named by a file or a link."""
    match name:
        case "gitdir":
            tree.write({".git": "gitdir: meta\n", "meta/commondir": "../common\n", "meta/config": "", "common/config": ""})
        case _:
            tree.write({"real/config": ""})
            (tree.root / name).symlink_to("real")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *(("gitdir", path) for path in ("meta/hooks/x", "meta/config", "common/hooks/x", "common/config")),
        *((name, path) for name in (".git", ".codex", ".agents") for path in ("real/x", f"{name}/x", "real/config", "new")),
    ],
)
def test_metadata_elsewhere_is_protected_there(name, path, tree):
    metadata(tree, name)
    real = os.path.realpath(tree.root / path)
    assert judged(tree, path, workspace()) == (real, OUTSIDE)
    tree.write({"free/x": ""})
    assert judged(tree, "free/y", workspace()) is None
