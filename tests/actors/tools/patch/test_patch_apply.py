"""A patch is applied whole or not at all, and writes only the planned files."""

from __future__ import annotations

import os

import pytest

from spindle.actors.tools.patch import apply as applying
from spindle.actors.tools.patch.apply import apply
from spindle.actors.tools.patch.effects import NO_BLOB

FILES = {"b.txt": "one\ntwo\n", "c.txt": "gone\n", "m.txt": "one\n"}
BODY = (
    "*** Add File: new/deep/a.txt\n+hello\n*** Update File: b.txt\n@@\n-two\n+zwei\n*** Delete File: c.txt\n"
    "*** Update File: m.txt\n*** Move to: n.txt\n@@\n-one\n+eins\n"
)
AFTER = {"new/deep/a.txt": b"hello\n", "b.txt": b"one\nzwei\n", "n.txt": b"eins\n"}
STEPS = ("open", "mkdir", "write", "link", "replace", "rename")


class Failing:
    """Counts the calls that change files, and fails one of them."""

    def __init__(self, monkeypatch, fail_at: int | None) -> None:
        self.calls: list[str] = []
        self._fail_at = fail_at
        for name in STEPS:
            monkeypatch.setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name, real):
        def call(*given, **named):
            if name == "open" and not given[1] & os.O_CREAT:
                return real(*given, **named)
            self.calls.append(name)
            if len(self.calls) - 1 == self._fail_at:
                raise OSError(28, "No space left on device")
            return real(*given, **named)

        return call


def steps_of_a_whole_application(tree, monkeypatch):
    tree.write(FILES)
    planned = tree.plan(BODY)
    with monkeypatch.context() as context:
        counting = Failing(context, None)
        assert apply(planned).success
    return counting.calls


def test_a_patch_is_applied_and_nothing_else_is_left_behind(tree, monkeypatch):
    calls = steps_of_a_whole_application(tree, monkeypatch)
    assert set(calls) == set(STEPS)
    assert tree.read() == AFTER


@pytest.mark.parametrize("fail_at", range(14))
def test_a_failure_at_any_step_leaves_every_file_as_it_was(fail_at, tree, tmp_path, monkeypatch):
    calls = steps_of_a_whole_application(tree, monkeypatch)
    assert len(calls) == 14
    os.rename(tree.root, tmp_path / "first")
    tree.root.mkdir()
    tree.write(FILES)
    before = {name: os.stat(tree.root / name) for name in FILES}
    planned = tree.plan(BODY)
    with monkeypatch.context() as context:
        Failing(context, fail_at)
        outcome = apply(planned)
    if calls[fail_at] == "link":  # a file system without links: applied all the same
        assert outcome.success
        assert tree.read() == AFTER
        return
    assert (outcome.success, outcome.exit_code, outcome.stdout) == (False, 1, "")
    assert outcome.stderr.startswith(("Failed to write file ", "Failed to delete file "))
    assert outcome.stderr.count("\n") == 1
    assert tree.read() == {name: text.encode() for name, text in FILES.items()}
    assert not (tree.root / "new").exists()
    assert {name: os.stat(tree.root / name).st_ino for name in FILES} == {name: stat.st_ino for name, stat in before.items()}


def test_files_that_could_not_be_restored_are_named(tree, monkeypatch):
    tree.write(FILES)
    planned = tree.plan(BODY)
    real = os.rename

    def no_links(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    def no_renames(source, goal, **named):
        if source == "c.txt":
            raise PermissionError(1, "Operation not permitted")
        real(source, goal, **named)

    with monkeypatch.context() as context:
        context.setattr(os, "link", no_links)
        context.setattr(os, "rename", no_renames)
        outcome = apply(planned)
    assert outcome.stderr == (
        f"Failed to delete file {tree.root}/c.txt\n"
        f"These files were changed and could not be restored:\n{tree.root}/b.txt\n"
    )
    assert tree.read() == {"b.txt": b"one\nzwei\n", "c.txt": b"gone\n", "m.txt": b"one\n"}


def test_an_old_file_that_cannot_be_put_back_is_not_lost(tree, monkeypatch):
    tree.write(FILES)
    planned = tree.plan(BODY)
    real = os.rename

    def no_second_rename(source, goal, **named):
        if source == "m.txt":
            raise PermissionError(1, "Operation not permitted")
        real(source, goal, **named)

    def no_restoring(source, goal, _real=os.replace, **named):
        if goal == "c.txt":
            raise PermissionError(1, "Operation not permitted")
        _real(source, goal, **named)

    with monkeypatch.context() as context:
        context.setattr(os, "rename", no_second_rename)
        context.setattr(os, "replace", no_restoring)
        outcome = apply(planned)
    kept = [name for name in tree.read() if name.endswith(".old")]
    assert tree.read() == {"b.txt": b"one\ntwo\n", kept[0]: b"gone\n", "m.txt": b"one\n"}
    assert outcome.stderr == (
        f"Failed to delete file {tree.root}/m.txt\n"
        "These files were changed and could not be restored:\n"
        f"{tree.root}/c.txt (as it was: {os.path.realpath(tree.root)}/{kept[0]})\n"
    )


def test_a_bug_in_the_middle_is_undone_too(tree, monkeypatch):
    tree.write(FILES)
    planned = tree.plan(BODY)
    real = applying._commit

    def buggy(work):
        if work.name == "m.txt":
            raise RuntimeError("a bug")
        real(work)

    monkeypatch.setattr(applying, "_commit", buggy)
    with pytest.raises(RuntimeError, match="a bug"):
        apply(planned)
    assert tree.read() == {name: text.encode() for name, text in FILES.items()}


def test_a_file_that_changed_since_is_patched_as_it_is_now(tree):
    tree.write({"b.txt": "one\ntwo\n"})
    planned = tree.plan("*** Update File: b.txt\n@@\n-two\n+zwei\n")
    tree.write({"b.txt": "zero\none\ntwo\n"})
    outcome = apply(planned)
    assert tree.read() == {"b.txt": b"zero\none\nzwei\n"}
    assert outcome.plan.changes[0].diff == "@@ -2,2 +2,2 @@\n one\n-two\n+zwei\n"


def test_a_file_that_no_longer_fits_fails_with_the_reason(tree):
    tree.write({"b.txt": "one\ntwo\n"})
    planned = tree.plan("*** Update File: b.txt\n@@\n-two\n+zwei\n")
    tree.write({"b.txt": "one\n"})
    outcome = apply(planned)
    assert outcome.stderr == f"Failed to find expected lines in {tree.root}/b.txt:\ntwo\n"
    assert tree.read() == {"b.txt": b"one\n"}


@pytest.mark.parametrize("what", ["file", "folder", "new folder"])
def test_a_link_made_after_the_plan_is_not_followed(what, tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("one\n")
    tree.write({} if what == "new folder" else {"d/a.txt": "one\n"})
    body = "*** Add File: d/a.txt\n+x\n" if what == "new folder" else "*** Update File: d/a.txt\n@@\n-one\n+x\n"
    planned = tree.plan(body)
    if what == "file":
        (tree.root / "d/a.txt").unlink()
        (tree.root / "d/a.txt").symlink_to(outside / "a.txt")
    else:
        if what == "folder":
            os.rename(tree.root / "d", tree.root / "was")
        (tree.root / "d").symlink_to(outside)
    outcome = apply(planned)
    assert not outcome.success
    assert (outside / "a.txt").read_text() == "one\n"
    assert sorted(os.listdir(outside)) == ["a.txt"]


def test_a_link_made_at_the_last_moment_is_not_followed(tree, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("one\n")
    tree.write({"d/a.txt": "one\n"})
    planned = tree.plan("*** Update File: d/a.txt\n@@\n-one\n+x\n")
    real = applying._carry_out

    def swapped(carried):
        os.rename(tree.root / "d", tree.root / "was")
        (tree.root / "d").symlink_to(outside)
        real(carried)

    monkeypatch.setattr(applying, "_carry_out", swapped)
    assert apply(planned).stderr == f"Failed to write file {tree.root}/d/a.txt\n"
    assert (outside / "a.txt").read_text() == "one\n"
    assert sorted(os.listdir(outside)) == ["a.txt"]


def test_a_file_that_changes_at_the_last_moment_is_not_overwritten(tree, monkeypatch):
    tree.write({"b.txt": "one\n", "z.txt": "one\n"})
    planned = tree.plan(
        "*** Update File: b.txt\n@@\n-one\n+x\n*** Update File: z.txt\n@@\n-one\n+x\n"
    )
    real = applying._commit

    def late(work):
        if work.name == "z.txt":
            tree.write({"z.txt": "the user's own words\n"})
        real(work)

    monkeypatch.setattr(applying, "_commit", late)
    assert apply(planned).stderr == f"{tree.root}/z.txt changed while the patch was applied\n"
    assert tree.read() == {"b.txt": b"one\n", "z.txt": b"the user's own words\n"}


def test_folders_that_were_made_are_removed_where_they_were_made(tree, tmp_path, monkeypatch):
    """A link in their place leads to an empty folder of the same name."""
    victim = tmp_path / "victim"
    (victim / "b").mkdir(parents=True)

    def swapped(work):
        os.rename(tree.root / "a", tree.root / "moved")
        (tree.root / "a").symlink_to(victim)
        raise OSError

    monkeypatch.setattr(applying, "_commit", swapped)
    assert not tree.apply("*** Add File: a/b/new\n+x\n").success
    assert sorted(os.listdir(victim)) == ["b"]
    assert os.listdir(tree.root / "moved") == []


def test_a_device_without_end_is_not_read_to_its_end(tree):
    (tree.root / "zero").symlink_to("/dev/zero")
    [effect] = tree.plan("*** Add File: zero\n+x\n").effects
    assert (effect.target, effect.before.content, effect.before.blob) == ("/dev/zero", None, NO_BLOB)
