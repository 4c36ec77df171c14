"""Commands that are known to only look, and commands that destroy without asking.

Both are the reference's lists. Of the second it knows `rm -f` and `rm -rf` only; here every spelling of the option counts.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from spindle.actors.tools.commands.script import is_literal, plain_commands, shell_script

Words: TypeAlias = Sequence[str]

_ALWAYS: Final = frozenset(
    (
        *("cat", "cd", "cut", "echo", "expr", "false", "grep", "head", "id", "ls", "nl", "paste", "pwd", "rev", "seq"),
        *("stat", "tail", "tr", "true", "uname", "uniq", "wc", "which", "whoami"),
    )
)
_ON_LINUX: Final = frozenset({"numfmt", "tac"})
_FIND_ACTS: Final = frozenset(
    {"-exec", "-execdir", "-ok", "-okdir", "-delete", "-fls", "-fprint", "-fprint0", "-fprintf"}
)
_LINES: Final = re.compile(r"(\d+,)?\d+p")
_RG_RUNS: Final = re.compile(r"--search-zip|-z|(--pre|--hostname-bin)(=.*)?", re.DOTALL)
_BASE64_WRITES: Final = re.compile(r"-o.*|--output(=.*)?", re.DOTALL)

_GIT_LOOKS: Final = frozenset({"status", "log", "diff", "show", "branch"})
_GIT_RUNS: Final = re.compile(r"--ext-diff|--textconv|--paginate|(--output|--exec)(=.*)?", re.DOTALL)
_GIT_ELSEWHERE: Final = re.compile(
    r"-c.*|(--config-env|--exec-path|--git-dir|--namespace|--super-prefix|--work-tree)(=.*)?", re.DOTALL
)
_GIT_LISTS_BRANCHES: Final = re.compile(
    r"--list|-l|--show-current|-a|--all|-r|--remotes|-v|-vv|--verbose|--format=.*", re.DOTALL
)


def _no_match(options: re.Pattern[str]) -> Callable[[Words], bool]:
    return lambda args: not any(options.fullmatch(arg) for arg in args)


def _git_looks(args: Words) -> bool:
    at = 0
    while at < len(args) and (args[at].startswith("-")):
        if _GIT_ELSEWHERE.fullmatch(args[at]):
            return False
        at += 2 if args[at] == "-C" else 1
    if at >= len(args) or args[at] not in _GIT_LOOKS:
        return False
    rest = args[at + 1 :]
    if any(_GIT_RUNS.fullmatch(arg) for arg in rest):
        return False
    return args[at] != "branch" or all(_GIT_LISTS_BRANCHES.fullmatch(arg) for arg in rest)


def _sed_prints_lines(args: Words) -> bool:
    return 2 <= len(args) <= 3 and args[0] == "-n" and bool(_LINES.fullmatch(args[1]))


_SOMETIMES: Final[Mapping[str, Callable[[Words], bool]]] = {
    "base64": _no_match(_BASE64_WRITES),
    "find": lambda args: not _FIND_ACTS.intersection(args),
    "git": _git_looks,
    "rg": _no_match(_RG_RUNS),
    "sed": _sed_prints_lines,
}


def _looks(words: Words, literal: bool) -> bool:
    if not words:
        return False
    program = os.path.basename(words[0])
    if program in _ALWAYS or (program in _ON_LINUX and sys.platform.startswith("linux")):
        return True
    check = _SOMETIMES.get(program)
    return literal and check is not None and check(words[1:])


def is_known_safe(argv: Words, *, literal: bool = True) -> bool:
    """Does the command, or each of the plain commands a shell is given, only look at things?

    `literal` False: a shell will still change the words (`script.is_literal`), so that options in them count for nothing.
    """
    if _looks(argv, literal):
        return True
    script = shell_script(argv)
    commands = plain_commands(script) if script is not None else None
    if not commands:
        return False
    literal = literal and is_literal(script or "")
    return all(_looks(words, literal) for words in commands)


def _destroys(words: Words) -> bool:
    match list(words):
        case ["sudo", *rest]:
            return _destroys(rest)
        case [program, *args] if os.path.basename(program) == "rm":
            options = args[: args.index("--")] if "--" in args else args
            return any(arg == "--force" or re.fullmatch(r"-[A-Za-z]*f[A-Za-z]*", arg) for arg in options)
        case _:
            return False


def is_dangerous(argv: Words) -> bool:
    """Does the command, or one of the plain commands a shell is given, remove files whatever they are?"""
    if _destroys(argv):
        return True
    script = shell_script(argv)
    return script is not None and any(_destroys(words) for words in plain_commands(script) or ())
