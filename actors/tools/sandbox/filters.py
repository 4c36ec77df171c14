"""The seccomp filters as sealed files in memory, for programs that read them from a descriptor."""

from __future__ import annotations

import fcntl
import os

from spindle.actors.tools.sandbox import seccomp


class Filters:
    """The filters with and without network, open until `close`.

    They are no files on disk, because a command that could write there would choose the next one's filter. Another
    process of the same user opens them by the path of this process's descriptor.

    Raises UnknownMachine, or OSError where the kernel has no such files.
    """

    def __init__(self, machine: str) -> None:
        self._open = {network: _sealed(seccomp.program(machine, network=network)) for network in (False, True)}

    def path(self, *, network: bool) -> str:
        """Where a child of this process finds the filter."""
        return f"/proc/{os.getpid()}/fd/{self._open[network]}"

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


def _sealed(content: bytes) -> int:
    descriptor = os.memfd_create("seccomp-filter", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
