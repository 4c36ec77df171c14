"""Which patches a sandbox policy lets through without asking."""

from __future__ import annotations

import os

import pytest

from spindle.actors.tools.patch.assess import BLOCKED, OUTSIDE, assess
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyPolicy,
    WorkspaceWritePolicy,
)


def workspace(*roots: str) -> WorkspaceWritePolicy:
    """The working directory and these roots, no temporary folders."""
    return WorkspaceWritePolicy(writable_roots=roots, exclude_tmpdir_env_var=True, exclude_slash_tmp=True)


def judged(tree, path, policy, env=None):
    home = os.path.join(tree.root, "home")
    found = assess(tree.plan(f"*** Add File: {path}\n+x\n"), policy, str(tree.root), home, env or {})
    return found and (found.path, found.reason)


@pytest.mark.parametrize("policy", [DangerFullAccessPolicy(), ExternalSandboxPolicy()])
def test_without_a_sandbox_of_ours_anything_goes(policy, tree):
    assert judged(tree, "/etc/x", policy) is None


def test_read_only_lets_nothing_through(tree):
    found = assess(tree.plan("*** Add File: a\n+x\n"), ReadOnlyPolicy(), str(tree.root), "/h", {})
    assert found is not None
    assert (found.path, found.reason) == (os.path.realpath(tree.root / "a"), BLOCKED)
    assert found.rejection() == (
        "patch rejected: writing is blocked by read-only sandbox; rejected by user approval settings"
    )


@pytest.mark.parametrize("path", ["a", "sub/../b", ".github/x", "sub/.gitignore", "homes/x"])
def test_the_working_directory_is_writable(path, tree):
    assert judged(tree, path, workspace()) is None


@pytest.mark.parametrize(
    "path",
    [
        *("../a", "/etc/x", ".git/hooks/x", "sub/.git/config", ".git", ".GIT/x", ".codex/x", ".agents/x"),
        *("home/config.toml", "home"),
    ],
)
def test_what_lies_outside_or_is_guarded_is_not(path, tree):
    real = os.path.realpath(os.path.join(tree.root, path))
    assert judged(tree, path, workspace()) == (real, OUTSIDE)


def test_further_roots_and_temporary_folders_are_writable_unless_excluded(tree, tmp_path):
    more, temporary = tmp_path / "more", tmp_path / "temporary"
    env = {"TMPDIR": str(temporary)}
    for path, open_, shut in (
        (more / "a", workspace(str(more)), workspace()),
        (
            temporary / "a",
            WorkspaceWritePolicy(exclude_slash_tmp=True),
            workspace(),
        ),
        ("/tmp/spindle-never-written", WorkspaceWritePolicy(exclude_tmpdir_env_var=True), workspace()),
    ):
        assert judged(tree, path, open_, env) is None
        assert judged(tree, path, shut, env) == (os.path.realpath(path), OUTSIDE)


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
        found = assess(
            tree.plan(f"*** Update File: {source}\n*** Move to: {goal}\n@@\n a\n"),
            workspace(),
            str(tree.root),
            "/h",
            {},
        )
        assert found is not None
        assert found.path == os.path.realpath(tmp_path / ("b" if source == "../b" else "e"))
