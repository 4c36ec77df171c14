"""Empty folders where protected names are missing: made, shared, removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spindle.actors.tools.sandbox import masks as module
from spindle.actors.tools.sandbox.confinement import AccessRule, Confinement
from spindle.actors.tools.sandbox.masks import MODE, Masks
from spindle.actors.tools.sandbox.mechanism import Namespaces
from spindle.actors.tools.sandbox.sandbox import Sandbox


def test_a_mask_exists_while_it_is_needed(tmp_path: Path) -> None:
    masks, path = Masks(), tmp_path / ".git"
    first, second = masks.hold([str(path)]), masks.hold([str(path)])
    assert first == second == (str(path),)
    masks.release(first)
    assert path.is_dir()
    masks.release(second)
    assert not path.exists()


def test_no_other_user_can_lock_a_mask(tmp_path: Path) -> None:
    masks, path = Masks(), tmp_path / ".git"
    before = os.umask(0)
    try:
        held = masks.hold([str(path)])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o1700
    masks.release(held)


def test_two_runtimes_share_a_mask(tmp_path: Path) -> None:
    """Removing it would remove the mount of the other runtime's command."""
    one, two, path = Masks(), Masks(), tmp_path / ".git"
    first, second = one.hold([str(path)]), two.hold([str(path)])
    one.release(first)
    assert path.is_dir()
    two.release(second)
    assert not path.exists()


def test_a_filled_mask_is_kept(tmp_path: Path) -> None:
    masks, path = Masks(), tmp_path / ".git"
    held = masks.hold([str(path)])
    (path / "HEAD").touch()
    masks.release(held)
    assert (path / "HEAD").exists()


def test_a_mask_that_was_removed_is_made_again(tmp_path: Path) -> None:
    masks, path = Masks(), tmp_path / ".git"
    first = masks.hold([str(path)])
    path.rmdir()
    second = masks.hold([str(path)])
    assert path.is_dir()
    masks.release(second)
    masks.release(first)
    assert not path.exists()


def test_an_existing_path_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").touch()
    (tmp_path / ".agents").mkdir()
    (tmp_path / ".codex").write_text("")
    masks = Masks()
    assert masks.hold([str(tmp_path / name) for name in (".git", ".agents", ".codex", "no/.git")]) == ()
    assert (tmp_path / ".codex").is_file()


async def test_a_command_keeps_the_masks_that_an_earlier_one_is_releasing(tmp_path: Path) -> None:
    sandbox = Sandbox(Namespaces("x86_64"))
    confinement = Confinement(
        (AccessRule("/", "read"), AccessRule(str(tmp_path), "write"), AccessRule(str(tmp_path / ".git"), "read")), False
    )
    earlier, later = (sandbox.confined(confinement, ["true"], {}) for _ in range(2))
    await earlier.__aenter__()
    async with later:
        await earlier.__aexit__(None, None, None)
        assert (tmp_path / ".git").is_dir()
    assert not (tmp_path / ".git").exists()


LOCK = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mask that another process keeps locked."""
    monkeypatch.setattr(module, "PATIENCE", 0)
    path = tmp_path / ".codex"
    path.mkdir()
    path.chmod(MODE)
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield path
        process.kill()


def test_a_locked_mask_is_named_and_none_stays_held(locked: Path) -> None:
    masks, other = Masks(), locked.with_name(".git")
    with pytest.raises(TimeoutError, match=rf"pid \d+ has held the lock for 0 s.*{locked}"):
        masks.hold([str(other), str(locked)])
    assert not other.exists()


def test_no_folder_of_another_user_is_locked(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert Masks().hold([str(locked)]) == ()
