"""The arguments of bubblewrap for a confinement."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from spindle.actors.tools.sandbox.confinement import MINIMAL, Confinement

PLACES: Final = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap", "/run/current-system/sw/bin/bwrap")
"""Where bubblewrap is searched; not on PATH, which may contain folders that commands can write."""
FILTER_DESCRIPTOR: Final = 9


def arguments(confinement: Confinement, *, tty: bool, proc: bool) -> list[str]:
    """The arguments of bubblewrap, before the command.

    It reads the seccomp filter from descriptor 9. Without `tty`, the command gets a new session. `proc`: this machine allows
    mounting a new /proc. Every path of `confinement.protected` must exist.

    Without network, not even the commands of one thread can connect to each other. Capabilities are always dropped: with them,
    root in the namespace could remount the read-only mounts.
    """
    words = [
        "--die-with-parent",
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--cap-drop",
        "ALL",
    ]
    if not confinement.network:
        words.append("--unshare-net")
    if not tty:
        words.append("--new-session")
    words += ["--seccomp", str(FILTER_DESCRIPTOR)]
    base, *rules = confinement.rules
    match base.access:
        case "write":
            words += ["--bind", "/", "/"]
        case "read":
            words += ["--ro-bind", "/", "/"]
        case "none":
            words += ["--tmpfs", "/"]
            words += links(MINIMAL)
    words += ["--dev", "/dev"]
    # read-only: root, even in a namespace, can change settings of the whole machine in /proc/sys
    words += ["--proc", "/proc", "--remount-ro", "/proc"] if proc else ["--ro-bind", "/proc", "/proc"]
    hidden: list[str] = []
    pins = [(path, "write") for path in confinement.pinned]
    for path, access in sorted([*((r.path, r.access) for r in rules), *pins], key=lambda rule: rule[0].count("/")):
        if not os.path.lexists(path):
            continue
        match access:
            case "write":
                words += ["--bind", path, path]
            case "read":
                words += ["--ro-bind", path, path]
            case _ if os.path.isdir(path):
                words += ["--perms", "755" if confinement.opens(path) else "000", "--tmpfs", path]
                hidden += ["--remount-ro", path]
            case _:
                words += ["--ro-bind", "/dev/null", path]
    return [*words, *hidden, *(["--remount-ro", "/"] if base.access == "none" else [])]


def links(paths: Sequence[str]) -> list[str]:
    """The symbolic links among `paths`, recreated, because programs use their names."""
    return [word for path in paths if os.path.islink(path) for word in ("--symlink", os.readlink(path), path)]
