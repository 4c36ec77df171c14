"""Cloning repositories that the user names, and that may be hostile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trio

from spindle.actors.tools.git_clone import GitFailed, Wanted, clone


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=n", "-c", "user.email=e@example.test", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", "-C", str(folder), *own, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits; the first is `v1`."""
    root = tmp_path / "repository"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("one")
    (root / "other").write_text("other")
    git(root, "init", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-m", "one")
    git(root, "tag", "v1")
    (root / "a/b/file").write_text("two")
    git(root, "commit", "-am", "two")
    git(root, "config", "uploadpack.allowFilter", "true")
    return root


async def test_a_branch_a_tag_or_a_commit_is_checked_out(repository: Path, tmp_path: Path) -> None:
    first, last = git(repository, "rev-parse", "v1"), git(repository, "rev-parse", "main")
    wanted = [({}, last), ({"ref": "main"}, last), ({"ref": "v1"}, first), ({"sha": first, "ref": "main"}, first)]
    for number, (which, commit) in enumerate(wanted):
        folder = tmp_path / str(number)
        assert await clone(Wanted(url=f"file://{repository}", **which), folder) == commit
        assert (folder / "a/b/file").read_text() == ("one" if commit == first else "two")


async def test_only_the_wanted_paths_are_checked_out(repository: Path, tmp_path: Path) -> None:
    await clone(Wanted(url=f"file://{repository}", paths=["a/b"]), tmp_path / "clone")
    assert (tmp_path / "clone/a/b/file").read_text() == "two"
    assert not (tmp_path / "clone/other").exists()


async def test_no_hook_and_no_submodule_of_a_repository_is_used(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-b", "main")
    git(other, "commit", "--allow-empty", "-m", "x")
    git(repository, "submodule", "add", str(other), "sub")
    git(repository, "commit", "-am", "three")
    templates = tmp_path / "templates/hooks"
    templates.mkdir(parents=True)
    hook = templates / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[init]\ntemplateDir = {templates.parent}\n[core]\nhooksPath = {templates}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    await clone(Wanted(url=f"file://{repository}"), tmp_path / "clone")
    assert not (tmp_path / "ran").exists()
    assert list((tmp_path / "clone/sub").iterdir()) == []


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(url="--upload-pack=touch ran"),
        Wanted(url="file:///x", ref="--output=ran"),
        Wanted(url="file:///x", sha="-x"),
        Wanted(url="file:///x", paths=["-x"]),
        Wanted(url="file:///x\0"),
    ],
)
async def test_no_option_can_be_given(tmp_path: Path, wanted: Wanted) -> None:
    with pytest.raises(GitFailed, match="is not a name that git can be given"):
        await clone(wanted, tmp_path / "clone")


async def test_a_failure_is_named_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="exit status: 128") as failed:
        await clone(Wanted(url="https://user:secret@127.0.0.1:1/x.git"), tmp_path / "clone")
    assert "https://127.0.0.1:1/x.git" in str(failed.value)
    assert "secret" not in str(failed.value)
    with pytest.raises(GitFailed, match="transport 'ext' not allowed"):
        await clone(Wanted(url=f"ext::touch {tmp_path}/ran"), tmp_path / "other")
    assert not (tmp_path / "ran").exists()


async def test_a_repository_that_does_not_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    asked = trio.Event()

    async def hang(stream: trio.SocketStream) -> None:
        asked.set()
        async with stream:
            await trio.sleep_forever()

    nursery.start_soon(trio.serve_listeners, hang, [listener])
    ended: list[str] = []
    scopes: list[trio.CancelScope] = []
    move_on_after = trio.move_on_after

    def noted(seconds: float) -> trio.CancelScope:
        scopes.append(move_on_after(seconds))
        return scopes[-1]

    monkeypatch.setattr(trio, "move_on_after", noted)

    async def run() -> None:
        with pytest.raises(GitFailed, match="took more than 120 seconds"):
            await clone(Wanted(url=f"http://127.0.0.1:{listener.socket.getsockname()[1]}/x"), tmp_path / "clone")
        ended.append("done")

    async with trio.open_nursery() as working:
        working.start_soon(run)
        await asked.wait()
        scopes[0].deadline = trio.current_time()
    assert ended == ["done"]
