"""Whether a command failed because of its sandbox: a guess from its exit code and its words, to offer escalation by."""

from __future__ import annotations

import re
from typing import Final

from spindle.actors.tools.sandbox.confinement import Confinement

SIGSYS: Final = 31
"""The signal of a filter that ends the process; as an exit code negative, or with 128 added, as shells do."""
WORDS: Final = re.compile(
    r"read-only file ?system|EROFS|operation not permitted|EPERM|permission denied|EACCES|seccomp|landlock|\bsandbox: ",
    re.IGNORECASE,
)
OFFLINE: Final = re.compile(
    r"network is unreachable|ENETUNREACH|could not resolve|couldn't resolve|name or service not known|ENOTFOUND|EAI_AGAIN"
    r"|temporary failure in name resolution|no address associated with hostname|getaddrinfo|failed to lookup address",
    re.IGNORECASE,
)


def denied(exit_code: int | None, output: str, confinement: Confinement | None) -> bool:
    """Whether a command that ended with `exit_code` and said `output` was probably stopped by `confinement`.

    A command that succeeded was not, whatever it printed. Without a confinement nothing is. `exit_code` is None, or
    negative for a signal, where the command did not exit by itself.
    """
    if confinement is None or exit_code == 0:
        return False
    if exit_code in (-SIGSYS, 128 + SIGSYS):
        return True
    return WORDS.search(output) is not None or (not confinement.network and OFFLINE.search(output) is not None)
