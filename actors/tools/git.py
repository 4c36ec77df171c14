"""The one place that starts git in a repository that was found, for what rollouts and reviews record about it.

The repository may be hostile: a confined command may have made it below the folders whose `.git` is protected, or it was
cloned. This git runs unconfined, so it must run no program that the repository names. Only subcommands are used that read
neither the work tree nor attributes (no filter, textconv, diff driver or submodule), every configuration key that could still
start a program is overridden, and the environment variables that locate a repository or name a program are removed. The
user's own configuration is used, for `safe.directory` and `url.*.insteadOf`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import trio

from spindle.rpc.protocol.threads import GitInfo

DEADLINE = 5.0
"""Seconds that git may take; after that nothing is recorded."""
OUTPUT: Final = 64 * 1024
"""Largest output in bytes; it is a name, a URL or an id."""

Subcommand: TypeAlias = Literal["merge-base", "remote", "rev-parse", "symbolic-ref"]
"""The subcommands that are used. A new one needs tests against hostile repositories in tests/actors/tools/test_git.py."""

_OFF: Final = {
    "core.alternateRefsCommand": "",
    "core.askPass": "",
    "core.attributesFile": os.devnull,
    "core.editor": "false",
    "core.fsmonitor": "false",
    "core.gitProxy": "",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.sshCommand": "false",
    "credential.helper": "",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "gpg.program": "false",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
}
_VARIABLES: Final = {
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
}


async def read_git(cwd: str) -> GitInfo | None:
    """Commit, branch and origin of the repository around `cwd`; None outside a repository, without git, or after `DEADLINE`."""
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


class NotARepository(Exception):
    """The directory is in no repository."""


async def merge_base(cwd: str, branch: str) -> str | None:
    """The merge base of HEAD and `branch`; None if there is none, or after `DEADLINE`. Raises NotARepository."""
    with trio.move_on_after(DEADLINE):
        if await _git(cwd, "rev-parse", "--git-dir") is None:
            raise NotARepository(f"{cwd} is not in a git repository")
        tip = await _git(cwd, "rev-parse", "-q", "--verify", "--end-of-options", f"{branch}^{{commit}}")
        return None if tip is None else await _git(cwd, "merge-base", "HEAD", tip)
    return None


def arguments(cwd: str, subcommand: Subcommand, *args: str) -> list[str]:
    """The command line of a subcommand in `cwd`."""
    off = [word for name, value in _OFF.items() for word in ("-c", f"{name}={value}")]
    return ["git", "--no-pager", "-C", cwd, *off, subcommand, *args]


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """`ours` without git's variables, and with those that disable what no option can."""
    return {name: value for name, value in ours.items() if not name.startswith("GIT_")} | _VARIABLES


async def _git(cwd: str, subcommand: Subcommand, *args: str) -> str | None:
    output = bytearray()
    start = partial(
        trio.run_process,
        arguments(cwd, subcommand, *args),
        cwd="/",  # a relative folder in PATH must not name one of the repository
        env=environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    process: trio.Process | None = None
    try:
        async with trio.open_nursery() as nursery:
            process = await nursery.start(start)
            assert process is not None
            assert process.stdout is not None
            while len(output) <= OUTPUT and (piece := await process.stdout.receive_some(OUTPUT)):
                output += piece
            if len(output) > OUTPUT:
                nursery.cancel_scope.cancel()
    except* OSError:
        pass  # git is not installed
    if process is None or process.returncode != 0 or len(output) > OUTPUT:
        return None
    return output.decode("utf-8", "replace").strip() or None
