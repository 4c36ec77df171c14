"""Clone a git repository that the user has named: a marketplace, or a plugin of one.

What is cloned may be hostile, so no program that it names is run: no hook, no submodule, no filter but those of the user's
own configuration. The user's own configuration is used for credentials, and `url.*.insteadOf`. Git never asks a question.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import readable

DEADLINE: Final = 120.0
"""Seconds for all that is done with one repository."""
OUTPUT: Final = 16 * 1024
"""Bytes of git's messages that are kept."""
_OFF: Final = (
    "core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.symlinks=true", "protocol.ext.allow=never",
    "submodule.recurse=false", "fetch.recurseSubmodules=false", "advice.detachedHead=false",
)  # fmt: skip
_KEPT: Final = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO")
"""Variables of the user that say how a server is reached; those that locate a repository are removed."""


_USER: Final = re.compile(r"(\w://)[^/@\s]*@")


class GitFailed(Exception):
    """Git could not do it. `str()` has git's own message, without credentials."""


@frozen(kw_only=True)
class Wanted:
    """What to check out: a commit `sha`, or else a `ref`, or else the default branch; all of it, or `paths`."""

    url: str
    ref: str | None = None
    sha: str | None = None
    paths: Sequence[str] = ()


async def clone(wanted: Wanted, folder: Path) -> str:
    """Clone into a folder that does not exist yet; returns the commit that is checked out.

    Raises GitFailed, also after `DEADLINE`. What a failure or a cancellation leaves in the folder is the caller's to remove.
    """
    for word in (wanted.url, wanted.ref or "", wanted.sha or "", *wanted.paths):
        if word.startswith("-") or "\0" in word:
            raise GitFailed(f"`{readable(word, 200)}` is not a name that git can be given")
    sparse = ["--filter=blob:none", "--sparse"] if wanted.paths else []
    with trio.move_on_after(DEADLINE):
        await _git("/", ["clone", "--template=", *sparse, "--no-checkout", "--", wanted.url, str(folder)])
        if wanted.paths:
            await _git(str(folder), ["sparse-checkout", "set", "--no-cone", *(f"/{path}" for path in wanted.paths)])
        await _git(str(folder), ["checkout", "--quiet", "--detach", await _commit(folder, wanted)])
        return (await _git(str(folder), ["rev-parse", "--verify", "HEAD"])).strip()
    raise GitFailed(f"git clone {_without_user(wanted.url)} took more than {DEADLINE:g} seconds")


async def _commit(folder: Path, wanted: Wanted) -> str:
    names = [wanted.sha] if wanted.sha else [f"origin/{wanted.ref}", wanted.ref] if wanted.ref else ["HEAD"]
    for name in names[:-1]:
        try:
            return (await _git(str(folder), ["rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}"])).strip()
        except GitFailed:
            continue
    last = ["rev-parse", "--verify", "--end-of-options", f"{names[-1]}^{{commit}}"]
    return (await _git(str(folder), last)).strip()


def environment(ours: dict[str, str]) -> dict[str, str]:
    """`ours` without git's variables that name a repository or a program, and with questions disabled."""
    kept = {name: value for name, value in ours.items() if not name.startswith("GIT_") or name in _KEPT}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "GIT_LFS_SKIP_SMUDGE": "1"}


async def _git(cwd: str, words: Sequence[str]) -> str:
    off = [word for setting in _OFF for word in ("-c", setting)]
    start = partial(
        trio.run_process,
        ["git", "-C", cwd, *off, *words],
        cwd="/",
        env=environment(dict(os.environ)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    out, err = bytearray(), bytearray()
    try:
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(start)
            assert process.stdout is not None
            assert process.stderr is not None
            nursery.start_soon(_read, process.stdout, out)
            nursery.start_soon(_read, process.stderr, err)
    except* OSError as errors:
        raise GitFailed(f"git could not be started: {errors.exceptions[0]}") from None
    if process.returncode != 0:
        what = " ".join(_without_user(word) for word in words)
        said = _without_user(err.decode("utf-8", "replace").strip())
        raise GitFailed(readable(f"git {what} failed with status exit status: {process.returncode}\nstderr:\n{said}", OUTPUT))
    return out.decode("utf-8", "replace")


def _without_user(text: str) -> str:
    """A text whose URLs have no user and password."""
    return _USER.sub(r"\1", text)


async def _read(stream: trio.abc.ReceiveStream, into: bytearray) -> None:
    async with stream:
        while piece := await stream.receive_some(OUTPUT):
            into += piece[: OUTPUT - len(into)]
