"""The repository around a thread's directory, asked of git when the rollout is created."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import trio

from spindle.rpc.protocol.threads import GitInfo

DEADLINE = 5.0
"""Seconds git may take; a repository that needs longer goes without."""


async def read_git(cwd: str) -> GitInfo | None:
    """Commit, branch and origin of the repository around `cwd`; None outside of one, without git, or past the deadline."""
    if not _in_repository(Path(cwd)):
        return None
    with trio.move_on_after(DEADLINE):
        found = GitInfo(
            await _git(cwd, "rev-parse", "-q", "--verify", "HEAD"),
            await _git(cwd, "symbolic-ref", "--short", "-q", "HEAD"),
            await _git(cwd, "remote", "get-url", "origin"),
        )
        return found if found != GitInfo() else None
    return None


def _in_repository(folder: Path) -> bool:
    return any(os.path.exists(place / ".git") for place in (folder, *folder.parents))


QUIET: Final = ("-c", "protocol.allow=never", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
"""Nothing that a repository's own configuration names is run: a confined command may have made that repository, below
the folders whose `.git` is protected, and this git is not confined."""


class NotARepository(Exception):
    """There is no repository around the directory that the text names."""


async def merge_base(cwd: str, branch: str) -> str | None:
    """The commit at which HEAD and `branch` parted; None if that cannot be told, or not in time. Raises NotARepository."""
    with trio.move_on_after(DEADLINE):
        if await _git(cwd, "rev-parse", "--git-dir") is None:
            raise NotARepository(f"{cwd} is in no git repository")
        tip = await _git(cwd, "rev-parse", "-q", "--verify", "--end-of-options", f"{branch}^{{commit}}")
        return None if tip is None else await _git(cwd, "merge-base", "HEAD", tip)
    return None


async def _git(cwd: str, *args: str) -> str | None:
    try:
        done = await trio.run_process(
            ["git", *QUIET, *args], cwd=cwd, capture_stdout=True, stderr=subprocess.DEVNULL, check=False
        )
    except OSError:
        return None
    return done.stdout.decode("utf-8", "replace").strip() or None if done.returncode == 0 else None
