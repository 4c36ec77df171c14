"""gitDiffToRemote: the difference to what was pushed, which runs nothing that a repository names."""

import os
import subprocess

import pytest
from tests.actors.tools.test_git import TRAPS, Repository

from spindle.actors.tools import git_diff
from spindle.actors.tools.git_diff import NoDifference, diff_to_remote


def sh(folder, line):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "e@x"}
    env |= {"GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "e@x"}
    return subprocess.run(
        line, shell=True, cwd=folder, check=True, capture_output=True, text=True, env=env
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "repository")
    made.path.mkdir()
    sh(made.path, "git init -q --bare ../remote; git init -q -b main; echo one >file; git add file; git commit -qm one")
    sh(made.path, "git remote add origin ../remote; git push -q origin main")
    return made


async def test_commits_changes_and_untracked_files_are_in_the_difference(repository):
    pushed = sh(repository.path, "git rev-parse HEAD")
    assert await diff_to_remote(str(repository.path)) == git_diff.Difference(pushed, "")
    sh(repository.path, "echo two >file; git commit -qam two; echo three >file; mkdir d; echo x >d/u; chmod +x d/u")
    sh(repository.path, "printf '\\0b' >bin; ln -s file link; : >empty; echo y >'a name'; echo z >ignored")
    sh(repository.path, "echo ignored >.git/info/exclude; git init -q inner")
    found = await diff_to_remote(str(repository.path))
    assert found.sha == pushed
    assert found.diff == (
        "diff --git a/file b/file\nindex 5626abf..2bdf67a 100644\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n-one\n+three\n"
        "diff --git a/a name b/a name\nnew file mode 100644\nindex 0000000..975fbec\n--- /dev/null\n+++ b/a name\t\n"
        "@@ -0,0 +1 @@\n+y\n"
        "diff --git a/bin b/bin\nnew file mode 100644\n"
        "index 0000000000000000000000000000000000000000..10f50c4d4bd377007eaba60150cf5a6569eac0d1\n"
        "GIT binary patch\nliteral 2\nJcmZQb0ssJH0Am0E\n\nliteral 0\nHcmV?d00001\n\n"
        "diff --git a/d/u b/d/u\nnew file mode 100755\nindex 0000000..587be6b\n--- /dev/null\n+++ b/d/u\n@@ -0,0 +1 @@\n+x\n"
        "diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n"
        "diff --git a/link b/link\nnew file mode 120000\nindex 0000000..1a010b1\n--- /dev/null\n+++ b/link\n"
        "@@ -0,0 +1 @@\n+file\n\\ No newline at end of file\n"
    )


async def test_what_was_merged_counts_from_the_branch_itself(repository):
    pushed = sh(repository.path, "git rev-parse HEAD")
    sh(repository.path, "git checkout -qb b; echo b >b; git add b; git commit -qm b; git push -q origin b")
    sh(repository.path, "git checkout -q main; git merge -q --no-ff -m merged b; echo two >file; git commit -qam two")
    found = await diff_to_remote(str(repository.path))
    assert found.sha == pushed
    assert "+b\n" in found.diff


async def test_a_changed_binary_file_is_only_named(repository):
    sh(
        repository.path,
        "printf '\\0b' >bin; git add bin; git commit -qm bin; git push -q origin main; printf '\\0c' >bin",
    )
    assert (await diff_to_remote(str(repository.path))).diff.endswith("\nBinary files a/bin and b/bin differ\n")


async def test_from_a_folder_its_own_untracked_files_are_shown(repository):
    sh(repository.path, "echo two >file; echo x >above; mkdir d; echo x >d/u")
    found = await diff_to_remote(str(repository.path / "d"))
    assert [line for line in found.diff.splitlines() if line.startswith("diff")] == [
        "diff --git a/file b/file",
        "diff --git a/u b/u",
    ]


async def test_a_linked_work_tree_and_its_staged_files(repository):
    sh(repository.path, "git worktree add -q ../linked -b other; echo s >../linked/staged; git -C ../linked add staged")
    found = await diff_to_remote(str(repository.path.parent / "linked"))
    assert found.diff.startswith("diff --git a/staged b/staged\nnew file mode 100644\n")


async def test_the_index_and_files_of_the_repository_are_unchanged(repository):
    sh(repository.path, "echo two >file; echo x >new")
    before = {file: file.read_bytes() for file in repository.path.rglob("*") if file.is_file()}
    await diff_to_remote(str(repository.path))
    assert {file: file.read_bytes() for file in repository.path.rglob("*") if file.is_file()} == before


async def test_the_users_excluded_files_are_left_out(repository, tmp_path):
    (tmp_path / "excluded").write_text("*.log\n")
    sh(repository.path, f"git config core.excludesFile {tmp_path}/excluded; echo x >a.log; echo x >b")
    assert "a.log" not in (found := (await diff_to_remote(str(repository.path))).diff)
    assert "b/b" in found


@pytest.mark.parametrize(
    "line", ["git remote remove origin", "git checkout -q --orphan x; git commit -qm x", "rm -rf .git"]
)
async def test_without_a_pushed_commit_there_is_none(repository, line):
    sh(repository.path, line)
    with pytest.raises(NoDifference) as error:
        await diff_to_remote(str(repository.path))
    assert str(error.value) == ""


@pytest.mark.parametrize("cwd", ["", "relative", "/none", "/a\0b"])
async def test_a_place_that_is_no_folder_has_none(cwd):
    with pytest.raises(NoDifference):
        await diff_to_remote(cwd)


async def test_a_work_tree_elsewhere_is_refused(repository, tmp_path):
    sh(repository.path, f"git config core.worktree {tmp_path}")
    with pytest.raises(NoDifference, match=r"not the folder with \.git"):
        await diff_to_remote(str(repository.path))


async def test_what_is_too_long_is_refused_by_name(repository, monkeypatch):
    monkeypatch.setattr(git_diff, "MOST", 1000)
    (repository.path / "new").write_text("line\n" * 1000)
    with pytest.raises(NoDifference, match="1000 bytes"):
        await diff_to_remote(str(repository.path))


async def test_a_deadline_ends_it_and_nothing_is_left(repository, monkeypatch, tmp_path):
    monkeypatch.setattr(git_diff, "DEADLINE", 0.0)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pytest.raises(NoDifference, match="more than 0 seconds"):
        await diff_to_remote(str(repository.path))
    monkeypatch.setattr(git_diff, "DEADLINE", 20.0)
    await diff_to_remote(str(repository.path))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", TRAPS)
async def test_nothing_that_a_repository_names_is_run(repository, name):
    trigger = TRAPS[name](repository)
    repository.git(*trigger)
    assert repository.ran.exists()  # the trap is one
    repository.ran.unlink()
    (repository.path / "file").write_text("other\n")
    (repository.path / "new").write_text("new\n")
    found = await diff_to_remote(str(repository.path))
    assert "+other\n" in found.diff
    assert "+new\n" in found.diff
    assert not repository.ran.exists()


async def test_a_driver_of_the_users_is_not_run_for_a_repository(repository, tmp_path, monkeypatch):
    """A repository could otherwise choose which of the user's programs reads its files."""
    config = tmp_path / "global"
    config.write_text(
        f'[filter "lfs"]\n\tclean = {repository.run}\n\trequired\n[diff "x"]\n\ttextconv = {repository.run}\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    config.rename(tmp_path / ".gitconfig")
    (repository.path / ".gitattributes").write_text("* filter=lfs diff=x\n")
    (repository.path / "file").write_text("other\n")
    assert "+other\n" in (await diff_to_remote(str(repository.path))).diff
    assert not repository.ran.exists()
