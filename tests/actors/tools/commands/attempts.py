"""Attempts to run a program without asking: it looks harmless, or like what a rule allows.

The workspace has what they need: programs named `ls`, `date`, `nproc`, `head` and a shell that all leave a mark outside, a
`.venv` of such programs on PATH, repositories whose configuration names programs, and files whose names are options. The
user's rules allow `date` and `nproc`.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from attrs import field, frozen

RULES = 'prefix_rule(pattern=[["date", "nproc"]], decision="allow")\n'


@frozen
class Attempt:
    """`script` may name `{ws}` and `{out}`. Is the user asked when it wants out of the sandbox (`escalated`), and when
    nothing but what is known to be harmless runs unasked (`untrusted`)? `acts`: it changes something outside if it runs.
    """

    name: str
    script: str
    shell: str | None = None
    escalated: bool = True
    untrusted: bool = True
    acts: bool = field(default=True, kw_only=True)


# what users need: asked about only where it wants out, or allowed by a rule
HARMLESS = [
    Attempt("a program that only looks", "ls && cat in | wc -l", untrusted=False, acts=False),
    Attempt("the same by its path", "/usr/bin/wc -l in", untrusted=False, acts=False),
    Attempt("a file read outside", "cat {out}/secret", untrusted=False, acts=False),
    Attempt("another program", "touch {out}/mark"),
    Attempt("an allowed program", "date +%Y", escalated=False, untrusted=False, acts=False),
    Attempt("the same by its path", "/usr/bin/date +%Y", escalated=False, untrusted=False, acts=False),
    Attempt("an allowed program and one that only looks", "date && ls", untrusted=False, acts=False),
]
ATTEMPTS = [
    Attempt("a harmless name, by a relative path", "./ls"),
    Attempt("a harmless name, by an absolute path", "{ws}/ls"),
    Attempt("a harmless name, through PATH", "head -c1 in"),
    Attempt("a shell of the model's choosing", "ls", "{ws}/evil/bash"),
    Attempt("uniq writes", "uniq in {out}/mark"),
    Attempt("git, with a file system monitor", "git status"),
    Attempt("git in a repository below", "git -C sub status"),
    Attempt("git, with an external diff", "git diff"),
    Attempt("git, with a text conversion", "git -C sub log -p"),
    Attempt("sed, with a script for its file", "sed -n 1p '-e1e touch {out}/mark'"),
    Attempt("find, with a file name for its option", "find in -exe? touch {out}/mark {{}} +"),
    Attempt("find, with an escaped option", r"find {out}/victim -del\ete"),
    Attempt("find, with an option on two lines", "find {out}/victim -del\\\nete"),
    Attempt("a line that does not go on", "ls \\\r\ntouch {out}/mark"),
    Attempt("a program's name on two lines", "t\\\nouch {out}/mark"),
    Attempt("a here-document", "cat <<E\n$\\\n(touch {out}/mark)\nE"),
    Attempt("an allowed name, by a relative path", "./date"),
    Attempt("an allowed name, by an absolute path", "{ws}/date"),
    Attempt("an allowed name, through PATH", "nproc"),
    Attempt("an allowed name, in another shell", "date", "{ws}/evil/bash"),
    Attempt("an allowed name, and a line that does not go on", "date \\\r\ntouch {out}/mark"),
    Attempt("an allowed name, fed a here-document", "date <<E\n$\\\n(touch {out}/mark)\nE"),
]


class World:
    """A workspace, files outside it, and programs on the PATH of commands; `root` is a real path."""

    def __init__(self, root: Path) -> None:
        self.ws, self.out, self.home = root / "ws", root / "out", root / "home"
        for folder in (self.ws / "evil", self.ws / ".venv/bin", self.ws / "sub", self.out, self.home / "rules"):
            folder.mkdir(parents=True)
        (self.home / "rules/user.rules").write_text(RULES)
        for name in ("secret", "victim"):
            (self.out / name).write_text("x\n")
        for name in ("in", "1p", "-exec"):
            (self.ws / name).write_text("line\n")
        for name in ("ls", "date", "evil/bash", ".venv/bin/head", ".venv/bin/nproc", "run"):
            (self.ws / name).write_text(f"#!/bin/sh\ntouch {shlex.quote(str(self.out))}/mark\n")
            (self.ws / name).chmod(0o755)
        self._repository(self.ws, f"[core]\nfsmonitor = {self.ws}/run\n[diff]\nexternal = {self.ws}/run\n")
        self._repository(self.ws / "sub", f'[core]\nfsmonitor = {self.ws}/run\n[diff "x"]\ntextconv = {self.ws}/run\n')

    def _repository(self, folder: Path, config: str) -> None:
        (folder / ".gitattributes").write_text("* diff=x\n")
        (folder / "tracked").write_text("one\n")
        identity = ("-c", "user.name=u", "-c", "user.email=u@example.org")
        for args in (["init", "-q"], ["add", "tracked"], [*identity, "commit", "-q", "-m", "one"]):
            subprocess.run(["git", "-C", str(folder), *args], check=True)
        (folder / "tracked").write_text("two\n")
        with (folder / ".git/config").open("a") as file:
            file.write(config)

    def path(self, inherited: str) -> str:
        return f"{self.ws}/.venv/bin:{inherited}"

    def changed(self) -> bool:
        """Whether something outside has changed; restores it."""
        names = {path.name for path in self.out.iterdir()}
        (self.out / "mark").unlink(missing_ok=True)
        (self.out / "victim").write_text("x\n")
        return names != {"secret", "victim"}
