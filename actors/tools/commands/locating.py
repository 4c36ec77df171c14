"""Find the program that a name resolves to, and whether the model could have written it.

A command that is allowed by name is started by the path of the program that was found. So a file that is later put into an
earlier folder of PATH does not run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import evolve

from spindle.rpc.lazy_class import frozen

_SYSTEM: Final = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"})
_BUILTIN: Final = frozenset(
    (
        *(".", ":", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "false", "fg"),
        *("getopts", "hash", "jobs", "kill", "printf", "pwd", "read", "return", "set", "shift", "test", "times", "trap"),
        *("true", "type", "ulimit", "umask", "unalias", "wait"),
    )
)
# files that these name are loaded into the command, or read by its shell
_LOADED: Final = ("BASH_ENV", "DYLD_INSERT_LIBRARIES", "DYLD_LIBRARY_PATH", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD")

Writable = Callable[[str], bool]
"""Whether the model may write to a real, absolute path without asking."""


@frozen
class Program:
    """The program of a name. `path` is absolute, None for a builtin of the shells; `real` has no links.

    `fixed`: the model cannot have written it. `system`: it is in a system folder that only root may write.
    """

    path: str | None
    real: str = ""
    fixed: bool = True
    system: bool = True


BUILTIN: Final = Program(None)


def locate(
    names: Iterable[str], *, path: str, writable: Writable, shell: str, builtins: bool = False
) -> dict[str, Program]:
    """The programs of `names` that are found. Blocks.

    A name is searched in `path`, the PATH of the command. A relative path is not resolved, because a script may change its
    directory. `shell` is the user's shell, which counts as a system program. `builtins`: names may be builtins of a shell.
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
    """Whether root owns `path`, and no other user may write it."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def loads_only_fixed(env: Mapping[str, str], *, profiles: bool, writable: Writable) -> bool:
    """Whether no file that the model may write is loaded into a command or read by its shell before it runs. Blocks.

    `profiles`: the shell reads the user's profiles.
    """
    paths = [part for name in _LOADED if env.get(name) for part in env[name].replace(" ", ":").split(":")]
    if profiles:
        paths += [env.get("HOME") or os.path.expanduser("~"), *([env["ZDOTDIR"]] if env.get("ZDOTDIR") else ())]
    return all(os.path.isabs(path) and not writable(os.path.realpath(path)) for path in paths)
