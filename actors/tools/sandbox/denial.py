"""Guess whether the sandbox made a command fail, from its exit code and output."""

from __future__ import annotations

import os
import re
from itertools import islice
from typing import Final

from spindle.actors.tools.sandbox.confinement import Confinement

SIGSYS: Final = 31
"""The signal of a filter that kills the process; its exit code is negative, or 128 more as from a shell."""
WORDS: Final = re.compile(
    r"read-only file ?system|EROFS|operation not permitted|EPERM|permission denied|EACCES|seccomp|landlock|\bsandbox: ",
    re.IGNORECASE,
)
OFFLINE: Final = re.compile(
    r"network is unreachable|ENETUNREACH|could not resolve|couldn't resolve|name or service not known|ENOTFOUND|EAI_AGAIN"
    r"|temporary failure in name resolution|no address associated with hostname|getaddrinfo|failed to lookup address",
    re.IGNORECASE,
)
_LONGEST: Final = 64 * 1024
_MOST: Final = 64
_FILE: Final = r"""(?:'([^'\n]+)'|"([^"\n]+)"|([^\s:'"]+))"""
_REFUSED: Final = r"(?:read-only file ?system|operation not permitted|permission denied)"
_NAMED: Final = re.compile(rf"{_FILE}: {_REFUSED}|{_REFUSED}(?:, \w+|:) {_FILE}", re.IGNORECASE)


def denied(exit_code: int | None, output: str, confinement: Confinement | None) -> bool:
    """Whether `confinement` probably made the command fail.

    False for a command that succeeded, with any output. `exit_code` is negative for a signal, None for an unknown end.
    """
    if confinement is None or exit_code == 0:
        return False
    if exit_code in (-SIGSYS, 128 + SIGSYS):
        return True
    return WORDS.search(output) is not None or (not confinement.network and OFFLINE.search(output) is not None)


def names_denied(output: str, cwd: str, confinement: Confinement) -> bool:
    """Whether `output` names a file that could not be written, and only `confinement` forbids writing it.

    The confinement forbids it, and access(2) says that the file is writable without it. Blocks.
    """
    for found in islice(_NAMED.finditer(output[:_LONGEST]), _MOST):
        name = next(filter(None, found.groups()))
        path = os.path.realpath(os.path.join(cwd, name))
        target = path if os.path.lexists(path) else os.path.dirname(path)
        if confinement.access(path) != "write" and os.access(target, os.W_OK):
            return True
    return False
