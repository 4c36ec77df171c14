"""What a work tree has that the remote has not: the difference to the nearest commit that was pushed.

A difference of the work tree reads its attributes, and they name filters and drivers that the repository's configuration
defines. So the repository is only asked where its parts are. The difference is made in a git directory of our own, with the
repository's objects, a copy of its index and its work tree, and without its configuration, hooks and `info/attributes`, and
without the user's: then an attribute names nothing that could be run, also if the repository changes meanwhile. Of the
configuration only the keys in `_KEPT` count, which say how files are stored. Objects that a partial clone has left out are
not fetched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from spindle.actors.tools.git import OUTPUT, Subcommand, arguments, environment, run
from spindle.rpc.lazy_class import frozen
from spindle.storage.outside import read_file

DEADLINE: Final = 20.0
"""Seconds for all that git does for one difference."""
MOST: Final = 8 * 1024 * 1024
"""Bytes of a difference, and of a copied index."""
PATHS: Final = 1024 * 1024
"""Bytes of all names of untracked files."""

_KEPT: Final = "autocrlf|eol|excludesfile|filemode|ignorecase|symlinks"
_DIFF: Final = ("--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short", "--ignore-submodules=dirty")


@frozen
class Difference:
    """The commit that the remote has, and the difference to it: tracked files, then the untracked ones below the directory."""

    sha: str
    diff: str


class NoDifference(Exception):
    """There is none; `str()` says why, if it is not that nothing was pushed."""


async def diff_to_remote(cwd: str) -> Difference:
    """The difference of the work tree around `cwd` to the nearest commit that a remote has. Raises NoDifference."""
    if not os.path.isabs(cwd) or "\0" in cwd:
        raise NoDifference
    with trio.move_on_after(DEADLINE):
        sha = await _pushed(cwd)
        folder = Path(await trio.to_thread.run_sync(tempfile.mkdtemp, None, "spindle-diff-"))
        try:
            ours = await _Ours.make(cwd, folder)
            tracked = await ours.git(MOST, "diff", *_DIFF, sha, "--")
            return Difference(sha, (tracked + await _untracked(ours, MOST - len(tracked))).decode("utf-8", "replace"))
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(shutil.rmtree, folder, True)
    raise NoDifference(f"git took more than {DEADLINE:g} seconds")


async def _pushed(cwd: str) -> str:
    """The first commit from HEAD back, along the branch itself, that a remote branch has. Raises NoDifference."""
    ahead = await _ask(cwd, "rev-list", "--first-parent", "--count", "HEAD", "--not", "--remotes", "--")
    return await _ask(cwd, "rev-parse", "-q", "--verify", f"HEAD~{int(ahead)}^{{commit}}")


async def _untracked(ours: _Ours, most: int) -> bytes:
    """Untracked files below the directory as new ones. Raises NoDifference."""
    listed = await ours.git(PATHS, "ls-files", "--others", "--exclude-standard", "-z")
    files = b"".join(name + b"\0" for name in listed.split(b"\0") if name and not name.endswith(b"/"))
    if not files:
        return b""
    alone = {"GIT_INDEX_FILE": str(ours.folder / "untracked"), "GIT_LITERAL_PATHSPECS": "1"}
    await ours.git(OUTPUT, "add", "-N", "-f", "--pathspec-from-file=-", "--pathspec-file-nul", given=files, env=alone)
    return await ours.git(most, "diff", "--binary", "--relative", *_DIFF, env=alone)


async def _ask(cwd: str, subcommand: Subcommand, *args: str) -> str:
    """The line that git answers in the repository that was found. Raises NoDifference."""
    output = await run(arguments(cwd, subcommand, *args), environment(os.environ), OUTPUT)
    if output is None:
        raise NoDifference
    return os.fsdecode(output).removesuffix("\n")


async def _settings(cwd: str) -> list[str]:
    """The options that give our git the keys in `_KEPT` of the configuration."""
    line = arguments(cwd, "config", "--null", "--get-regexp", rf"^core\.({_KEPT})$")
    entries = (await run(line, environment(os.environ), OUTPUT) or b"").split(b"\0")
    pairs = [os.fsdecode(entry).partition("\n") for entry in entries if entry]
    return [word for key, equals, value in pairs for word in ("-c", f"{key}={value}" if equals else key)]


@frozen
class _Ours:
    """The git directory of our own."""

    cwd: str
    folder: Path
    top: str
    settings: Sequence[str]

    @classmethod
    async def make(cls, cwd: str, folder: Path) -> _Ours:
        """Fill `folder` for the repository around `cwd`. Raises NoDifference."""
        top = await _ask(cwd, "rev-parse", "--show-toplevel")
        index, objects, exclude = [
            os.path.join(cwd, await _ask(cwd, "rev-parse", "--git-path", part))
            for part in ("index", "objects", "info/exclude")
        ]
        form = await _ask(cwd, "rev-parse", "--show-object-format")

        def fill() -> None:
            if not os.path.lexists(os.path.join(top, ".git")):  # core.worktree names another folder
                raise NoDifference("the work tree is not the folder with .git")
            for part in ("objects/info", "refs", "info"):
                (folder / part).mkdir(parents=True)
            (folder / "HEAD").write_text("ref: refs/heads/none\n")
            version = "repositoryFormatVersion = 1\n[extensions]\n\tobjectFormat"
            (folder / "config").write_text(f"[core]\n\tbare = false\n\t{version} = {form}\n")
            (folder / "objects/info/alternates").write_bytes(os.fsencode(os.path.realpath(objects)) + b"\n")
            _copy(index, folder / "index")
            _copy(exclude, folder / "info/exclude")

        try:
            await trio.to_thread.run_sync(fill)
        except OSError as error:
            raise NoDifference(f"the repository cannot be read: {error}") from error
        return cls(cwd, folder, top, await _settings(cwd))

    async def git(self, most: int, *args: str, given: bytes = b"", env: dict[str, str] | None = None) -> bytes:
        """The output of git with this git directory. Raises NoDifference."""
        alone = {
            "GIT_DIR": str(self.folder),
            "GIT_WORK_TREE": self.top,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
        }
        line = arguments(self.cwd, *args)
        line[1:1] = self.settings
        output = await run(line, environment(os.environ) | alone | (env or {}), most, given)
        if output is None:
            raise NoDifference(f"git {args[0]} has failed, or its output has more than {most} bytes")
        return output


def _copy(source: str, target: Path) -> None:
    """Copy a plain file, if it is there, with its time: an index with a later one would trust more entries. Raises OSError."""
    try:
        found = os.stat(source)
        target.write_bytes(read_file(source, MOST))
    except FileNotFoundError:
        return
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
