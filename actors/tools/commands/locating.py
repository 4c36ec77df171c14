"""Which program a name leads to, and whether the model could have put it there.

What is allowed by name is allowed as the program that was found, and is started by its path: what somebody puts in front of
it afterwards, in a folder of PATH that may be written, is not run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import evolve, frozen

_SYSTEM: Final = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"})
_BUILTIN: Final = frozenset(
    (
        *(".", ":", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "false", "fg"),
        *("getopts", "hash", "jobs", "kill", "printf", "pwd", "read", "return", "set", "shift", "test", "times", "trap"),
        *("true", "type", "ulimit", "umask", "unalias", "wait"),
    )
)
# what these name is loaded before the command, or read by its shell
_LOADED: Final = ("BASH_ENV", "DYLD_INSERT_LIBRARIES", "DYLD_LIBRARY_PATH", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD")

Writable = Callable[[str], bool]
"""Whether the model may write to a real, absolute path without being asked."""


@frozen
class Program:
    """What a name leads to. `path` is absolute, None for a builtin of the shells; `real` is free of links.

    `fixed`: the model cannot have written it. `system`: it belongs to the system, in a folder where only root may write.
    """

    path: str | None
    real: str = ""
    fixed: bool = True
    system: bool = True


BUILTIN: Final = Program(None)


def locate(
    names: Iterable[str], *, path: str, writable: Writable, shell: str, builtins: bool = False
) -> dict[str, Program]:
    """The programs that `names` lead to, without those that lead nowhere. Blocks.

    A name is looked up in `path`, the PATH of the command. Paths are taken as they are; relative ones lead nowhere, for
    a script may go elsewhere first. `shell` is the user's own, which counts as one of the system's. `builtins`: they are
    words of a script.
    """
    found = {name: _locate(name, path, writable, builtins) for name in names}
    return {
        name: evolve(program, system=program.fixed) if program.path == shell else program
        for name, program in found.items()
        if program is not None
    }


def _locate(name: str, path: str, writable: Writable, builtins: bool) -> Program | None:
    if builtins and name in _BUILTIN:
        return BUILTIN
    if "/" in name:
        return _program(name, writable) if os.path.isabs(name) and _runs(name) else None
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if _runs(candidate):
            return _program(candidate, writable) if os.path.isabs(folder) else None
    return None


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _program(path: str, writable: Writable) -> Program:
    real = os.path.realpath(path)
    folder = os.path.realpath(os.path.dirname(path))
    system = os.path.dirname(path) in _SYSTEM and all(map(_roots_own, (real, os.path.dirname(real), folder)))
    if system and os.geteuid() != 0:
        return Program(path, real)
    fixed = not (writable(real) or writable(os.path.join(folder, os.path.basename(path))))
    return Program(path, real, fixed=fixed, system=system and fixed)


def _roots_own(path: str) -> bool:
    """Whether `path` is root's, and nobody else may write it."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def loads_only_fixed(env: Mapping[str, str], *, profiles: bool, writable: Writable) -> bool:
    """Whether nothing that the model may write is loaded into a command, or read by its shell, before it runs. Blocks.

    `profiles`: the shell reads those of the user.
    """
    paths = [part for name in _LOADED if env.get(name) for part in env[name].replace(" ", ":").split(":")]
    if profiles:
        paths += [env.get("HOME") or os.path.expanduser("~"), *([env["ZDOTDIR"]] if env.get("ZDOTDIR") else ())]
    return all(os.path.isabs(path) and not writable(os.path.realpath(path)) for path in paths)
