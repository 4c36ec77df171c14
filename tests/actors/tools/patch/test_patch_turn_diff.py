"""The diff of a turn: what Codex shows for the same patches, and a diff that git takes."""

from __future__ import annotations

import os
import subprocess

import pytest

from spindle.actors.tools.patch import turn_diff
from spindle.actors.tools.patch.turn_diff import TurnDiff

ONE_TWO_THREE = "4cb29ea38f70d7c61b2a3a25b02e3bdf44905402"
B = "*** Update File: b.txt\n"
ZEROS = "0" * 40


@pytest.fixture
def repository(tree):
    (tree.root / ".git").mkdir()
    tree.write({"b.txt": "one\ntwo\nthree\n"})
    return tree


def after(tree, *bodies, cwd=None):
    """The diffs of a turn that applies these patches, one after the other."""
    turn = TurnDiff(str(cwd or tree.root))
    diffs = []
    for body in bodies:
        turn.record(tree.apply(body))
        diffs.append(turn.render())
    return diffs


# the texts are those of Codex 0.124
@pytest.mark.parametrize(
    ("bodies", "diff"),
    [
        pytest.param(
            ["*** Add File: a\n+x\n", "*** Update File: a\n@@\n-x\n+y\n"],
            f"diff --git a/a b/a\nnew file mode 100644\nindex {ZEROS}..975fbec8256d3e8a3797e7a3611380f27c49f4ac\n"
            "--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+y\n",
            id="added, then changed",
        ),
        pytest.param(["*** Add File: a\n+x\n", "*** Delete File: a\n"], "", id="added, then deleted"),
        pytest.param(
            ["*** Add File: a\n"],
            f"diff --git a/a b/a\nnew file mode 100644\nindex {ZEROS}..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n",
            id="added without content",
        ),
        pytest.param([B + "@@\n-two\n+2\n", B + "@@\n-2\n+two\n"], "", id="changed and changed back"),
        pytest.param(
            [B + "*** Move to: c.txt\n@@\n-two\n+zwei\n", "*** Update File: c.txt\n*** Move to: d.txt\n@@\n-three\n+drei\n"],
            f"diff --git a/b.txt b/d.txt\nindex {ONE_TWO_THREE}..aca7d30fc1b2512992f7baf10ffef8db4cb695f6\n"
            "--- a/b.txt\n+++ b/d.txt\n@@ -1,3 +1,3 @@\n one\n-two\n-three\n+zwei\n+drei\n",
            id="moved twice",
        ),
        pytest.param(
            [B + "*** Move to: c.txt\n@@\n-two\n+zwei\n", "*** Update File: c.txt\n*** Move to: b.txt\n@@\n-zwei\n+two\n"],
            "",
            id="moved and moved back",
        ),
        pytest.param(
            [B + "*** Move to: c.txt\n@@\n-two\n+zwei\n", "*** Add File: b.txt\n+new\n"],
            f"diff --git a/b.txt b/b.txt\nnew file mode 100644\nindex {ZEROS}..3e757656cf36eca53338e520d134963a44f793f8\n"
            "--- /dev/null\n+++ b/b.txt\n@@ -0,0 +1 @@\n+new\n"
            f"diff --git a/b.txt b/c.txt\nindex {ONE_TWO_THREE}..37278ba18bc54de5f11a72ab9c1295e9335fedc8\n"
            "--- a/b.txt\n+++ b/c.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n",
            id="moved, and a new file in its place",
        ),
        pytest.param(
            ["*** Delete File: b.txt\n", "*** Add File: b.txt\n+new\n"],
            f"diff --git a/b.txt b/b.txt\nindex {ONE_TWO_THREE}..3e757656cf36eca53338e520d134963a44f793f8\n"
            "--- a/b.txt\n+++ b/b.txt\n@@ -1,3 +1 @@\n-one\n-two\n-three\n+new\n",
            id="deleted, then added",
        ),
    ],
)
def test_the_changes_of_a_turn_add_up(bodies, diff, repository):
    assert after(repository, *bodies)[-1] == diff


# here Codex shows nothing, or the file under a name that is gone
@pytest.mark.parametrize(
    ("bodies", "diff"),
    [
        (
            [B + "*** Move to: c.txt\n@@\n one\n"],
            "diff --git a/b.txt b/c.txt\nsimilarity index 100%\nrename from b.txt\nrename to c.txt\n",
        ),
        (
            [B + "*** Move to: c.txt\n@@\n-two\n+zwei\n", "*** Delete File: c.txt\n"],
            f"diff --git a/b.txt b/b.txt\ndeleted file mode 100644\nindex {ONE_TWO_THREE}..{ZEROS}\n"
            "--- a/b.txt\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-one\n-two\n-three\n",
        ),
        (
            ["*** Add File: a\n+x\n", "*** Update File: a\n*** Move to: z\n@@\n x\n"],
            f"diff --git a/z b/z\nnew file mode 100644\nindex {ZEROS}..587be6b4c3f93f93c489c0111bba5596147a26cb\n"
            "--- /dev/null\n+++ b/z\n@@ -0,0 +1 @@\n+x\n",
        ),
    ],
)
def test_moves_are_combined(bodies, diff, repository):
    assert after(repository, *bodies)[-1] == diff


def test_the_diff_grows_with_the_turn_and_is_sorted(repository):
    diffs = after(repository, "*** Add File: z\n+x\n", "*** Add File: a\n+x\n*** Delete File: b.txt\n")
    heads = [[line for line in diff.splitlines() if line.startswith("diff")] for diff in diffs]
    assert heads == [
        ["diff --git a/z b/z"],
        ["diff --git a/a b/a", "diff --git a/b.txt b/b.txt", "diff --git a/z b/z"],
    ]


def test_a_change_by_another_tool_is_seen_from_the_baseline_on(repository):
    turn = TurnDiff(str(repository.root))
    turn.record(repository.apply(B + "@@\n-two\n+zwei\n"))
    repository.write({"b.txt": "one\n"})
    assert turn.render().endswith("@@ -1,3 +1 @@\n one\n-two\n-three\n")
    (repository.root / "b.txt").chmod(0o755)
    assert "\nold mode 100644\nnew mode 100755\nindex " in turn.render()


def test_a_patch_that_failed_shows_nothing(repository):
    repository.write({"c.txt": "before\n"})
    turn = TurnDiff(str(repository.root))
    outcome = repository.apply("*** Update File: b.txt\n*** Move to: c.txt\n@@\n-two\n+2\n*** Add File: b.txt/x\n+x\n")
    assert not outcome.success
    turn.record(outcome)
    assert turn.render() == ""


def git_name(data):
    hashed = subprocess.run(["git", "hash-object", "--stdin"], input=data, capture_output=True, check=True)
    return hashed.stdout.decode().strip()


def test_binary_and_large_files_are_shown_as_differing(repository, monkeypatch):
    repository.write({"bin": b"\0\xff\1", "large": "x\n" * 600})
    monkeypatch.setattr(turn_diff, "SHOWN_BYTES", 1000)
    diff = after(repository, "*** Add File: bin\n+x\n*** Delete File: large\n")[-1]
    binary, large = git_name(b"\0\xff\1"), git_name(b"x\n" * 600)
    assert diff == (
        f"diff --git a/bin b/bin\nindex {binary}..587be6b4c3f93f93c489c0111bba5596147a26cb\n"
        "--- a/bin\n+++ b/bin\nBinary files differ\n"
        "diff --git a/large b/large\ndeleted file mode 100644\n"
        f"index {large}..{ZEROS}\n--- a/large\n+++ /dev/null\nBinary files differ\n"
    )


def test_the_text_kept_for_a_turn_is_bounded(repository, monkeypatch):
    repository.write(dict.fromkeys("cde", "one\n"))
    monkeypatch.setattr(turn_diff, "KEPT_BYTES", 9)
    diff = after(repository, "".join(f"*** Update File: {name}\n@@\n-one\n+two\n" for name in "cde"))[-1]
    assert diff.count("-one\n+two\n") == 2
    assert diff.count("Binary files differ\n") == 1


def test_a_deleted_link_is_shown_as_the_link_it_was(repository):
    (repository.root / "l").symlink_to("b.txt")
    assert after(repository, "*** Delete File: l\n") == [
        f"diff --git a/l b/l\ndeleted file mode 120000\nindex 19acdd81ab0abc15c771fe005bf1c2825e4e6080..{ZEROS}\n"
        "--- a/l\n+++ /dev/null\n@@ -1 +0,0 @@\n-b.txt\n\\ No newline at end of file\n"
    ]


def test_paths_are_relative_to_the_repository_the_directory_or_nothing(tree, tmp_path):
    (tree.root / "inner/.git").mkdir(parents=True)
    diff = after(tree, "*** Add File: inner/d/a\n+x\n*** Add File: b\n+x\n*** Add File: ../c\n+x\n")[-1]
    outside = os.path.realpath(tmp_path / "c").lstrip("/")
    heads = [line for line in diff.splitlines() if line.startswith("diff")]
    assert sorted(heads) == sorted(f"diff --git a/{name} b/{name}" for name in ("d/a", "b", outside))


def test_a_path_that_would_break_a_line_is_quoted(repository):
    diff = after(repository, '*** Add File: t\tq"é\n+x\n')[-1]
    assert diff.splitlines()[0] == 'diff --git "a/t\\tq\\"é" "b/t\\tq\\"é"'


def test_git_takes_the_diff(repository, tmp_path):
    root = repository.root
    os.rmdir(root / ".git")
    repository.write({"run.sh": "a\nb\nc", "gone": "x", "crlf": "a\r\nb\r\n", "d/m": "".join(f"{n}\n" for n in range(50))})
    (root / "run.sh").chmod(0o755)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", root, *command], check=True)
    diff = after(
        repository,
        "*** Update File: run.sh\n*** Move to: bin/run\n@@\n-b\n+B\n*** Delete File: gone\n*** Update File: crlf\n@@\n-a\n+A\n",
        "*** Update File: d/m\n@@\n-7\n@@\n-40\n+forty\n*** Add File: n/n\n+x\n",
        "*** Update File: b.txt\n*** Move to: e\n@@\n one\n",
    )[-1]
    changed = repository.read()
    subprocess.run(["git", "-C", root, "reset", "-q", "--hard"], check=True)
    subprocess.run(["git", "-C", root, "clean", "-qfd"], check=True)
    subprocess.run(["git", "-C", root, "apply", "-"], input=diff.encode(), check=True)
    assert {name: data for name, data in repository.read().items() if not name.startswith(".git/")} == {
        name: data for name, data in changed.items() if not name.startswith(".git/")
    }


def test_a_link_to_a_name_that_is_no_utf_8_is_shown(repository):
    os.symlink(b"caf\xe9", os.fsencode(repository.root) + b"/link")
    turn = TurnDiff(str(repository.root))
    turn.record(repository.apply("*** Add File: a.txt\n+a\n*** Delete File: b.txt\n"))
    os.replace(os.fsencode(repository.root) + b"/link", os.fsencode(repository.root) + b"/a.txt")
    assert "+caf\ufffd" in turn.render()
    turn.render().encode()


def test_a_file_behind_a_new_link_is_not_shown(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("the secret of another folder\n")
    tree.write({"d/a.txt": "one\n"})
    turn = TurnDiff(str(tree.root))
    turn.record(tree.apply("*** Update File: d/a.txt\n@@\n-one\n+two\n"))
    assert "+two" in turn.render()
    os.rename(tree.root / "d", tree.root / "was")
    (tree.root / "d").symlink_to(outside)
    shown = turn.render()
    assert "secret" not in shown
    assert "deleted file" in shown
