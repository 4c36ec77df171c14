"""Commands that are known to be safe, and commands that are dangerous.

Safe commands are Codex's, without programs that may run or write something else: `git` runs programs that a repository's
configuration names, `uniq` writes to its second operand. Codex knows only `rm -f` and `rm -rf` as dangerous; here every
spelling of the option counts.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from spindle.actors.tools.commands.locating import Program
from spindle.actors.tools.commands.script import plain_commands, shell_script

Words: TypeAlias = Sequence[str]

# they only read and print, with any options (a glob may expand to options)
_ALWAYS: Final = frozenset(
    (
        *("cat", "cd", "cut", "echo", "expr", "false", "grep", "head", "id", "ls", "nl", "paste", "pwd", "rev", "seq"),
        *("stat", "tail", "tr", "true", "uname", "wc", "which", "whoami"),
    )
)
_ON_LINUX: Final = frozenset({"numfmt", "tac"})
_FIND_ACTS: Final = frozenset(
    {"-exec", "-execdir", "-ok", "-okdir", "-delete", "-fls", "-fprint", "-fprint0", "-fprintf"}
)
_LINES: Final = re.compile(r"(\d+,)?\d+p")
# long options may be abbreviated, short ones joined to others
_RG_RUNS: Final = re.compile(r"--search-z.*|-[^-].*z.*|-z.*|--pre(?!-).*|--hostname-.*", re.DOTALL)
_BASE64_WRITES: Final = re.compile(r"-[^-]*o.*|--o.*", re.DOTALL)


def _no_match(options: re.Pattern[str]) -> Callable[[Words], bool]:
    return lambda args: not any(options.fullmatch(arg) for arg in args)


def _sed_prints_lines(args: Words) -> bool:
    match args:
        case ["-n", lines]:
            return bool(_LINES.fullmatch(lines))
        case ["-n", lines, file]:
            return bool(_LINES.fullmatch(lines)) and not file.startswith("-")
        case _:
            return False


_SOMETIMES: Final[Mapping[str, Callable[[Words], bool]]] = {
    "base64": _no_match(_BASE64_WRITES),
    "find": lambda args: not _FIND_ACTS.intersection(args),
    "rg": _no_match(_RG_RUNS),
    "sed": _sed_prints_lines,
}


def is_known_safe(words: Sequence[str | None], program: Program | None) -> bool:
    """Whether the command only reads.

    `words` are its exact words (see `script.Plain`); `program` is the program of the first, which must be a system program.
    """
    if not words or words[0] is None or program is None or not program.system:
        return False
    name, args = os.path.basename(words[0]), [word for word in words[1:] if word is not None]
    if name in _ALWAYS or (name in _ON_LINUX and sys.platform.startswith("linux")):
        return True
    check = _SOMETIMES.get(name)
    return check is not None and len(args) == len(words) - 1 and check(args)


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
    """Whether the command, or a plain command of its script, removes files by force."""
    if _destroys(argv):
        return True
    script = shell_script(argv)
    return script is not None and any(_destroys(words) for words in plain_commands(script) or ())
