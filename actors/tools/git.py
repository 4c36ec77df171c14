"""The one place that starts git in a repository that was found, for what rollouts and reviews record about it.

The repository may be hostile: a confined command may have made it below the folders whose `.git` is protected, or it was
cloned. This git runs unconfined, so it must run no program that the repository names. Only subcommands are used that read
neither the work tree nor attributes (no filter, textconv, diff driver or submodule), every configuration key that could still
start a program is overridden, and the environment variables that locate a repository or name a program are removed. The
user's own configuration is used, for `safe.directory` and `url.*.insteadOf`. Differences of the work tree, which do read
attributes, are found without the repository's configuration (`git_diff`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import trio

from spindle.rpc.protocol.threads import GitInfo

DEADLINE = 5.0
"""Seconds that git may take; after that nothing is recorded."""
OUTPUT: Final = 64 * 1024
"""Largest output in bytes; it is a name, a URL or an id."""

Subcommand: TypeAlias = Literal["config", "merge-base", "remote", "rev-list", "rev-parse", "symbolic-ref"]
"""The subcommands that are used in a repository that was found. A new one needs tests against hostile repositories."""

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


def arguments(cwd: str, subcommand: str, *args: str) -> list[str]:
    """The command line of a subcommand in `cwd`."""
    off = [word for name, value in _OFF.items() for word in ("-c", f"{name}={value}")]
    return ["git", "--no-pager", "-C", cwd, *off, subcommand, *args]


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """`ours` without git's variables, and with those that disable what no option can."""
    return {name: value for name, value in ours.items() if not name.startswith("GIT_")} | _VARIABLES


async def _git(cwd: str, subcommand: Subcommand, *args: str) -> str | None:
    output = await run(arguments(cwd, subcommand, *args), environment(os.environ), OUTPUT)
    return None if output is None else output.decode("utf-8", "replace").strip() or None


async def run(line: Sequence[str], env: Mapping[str, str], most: int, given: bytes = b"") -> bytes | None:
    """The output of a command line of git; None if it fails, is not installed, or has more than `most` bytes to say.

    `given` is its standard input. If cancelled, git is killed.
    """
    output = bytearray()
    start = partial(
        trio.run_process,
        line,
        cwd="/",  # a relative folder in PATH must not name one of the repository
        env=env,
        stdin=given,
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
            while len(output) <= most and (piece := await process.stdout.receive_some(OUTPUT)):
                output += piece
            if len(output) > most:
                nursery.cancel_scope.cancel()
    except* OSError:
        pass  # git is not installed
    if process is None or process.returncode != 0 or len(output) > most:
        return None
    return bytes(output)
