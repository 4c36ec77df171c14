"""The ways in which this machine can confine a command, and the command line of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from attrs import frozen

from spindle.actors.tools.sandbox import bubblewrap, seatbelt, seccomp
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.actors.tools.sandbox.filters import Filters

ENTER: Final = str(Path(__file__).resolve().with_name("enter.py"))
OFFLINE: Final = "CODEX_SANDBOX_NETWORK_DISABLED"
"""Set to 1 for commands without network, as Codex does."""
SEATBELT: Final = "CODEX_SANDBOX"
"""Set to seatbelt under sandbox-exec, as Codex does."""
OPEN_FILTER: Final = f'exec "$@" {bubblewrap.FILTER_DESCRIPTOR}<"$0"'
"""Opens the filter for bubblewrap in a shell: an argument list cannot carry an open file."""
TYPED: Final = "INT,QUIT"
"""The signals a user types, which are for the command and not for what confines it."""


@frozen
class Bubblewrap:
    """Namespaces and mounts by bubblewrap, with the seccomp filter.

    `proc` says whether a new /proc can be mounted here, `spares` whether env(1) can set how signals are received.
    """

    program: str
    filters: Filters
    proc: bool = True
    spares: bool = True


@frozen
class Namespaces:
    """Namespaces and mounts by `enter.py`, with Landlock and the seccomp filter."""

    machine: str


@frozen
class Landlock:
    """Landlock and the seccomp filter by `enter.py`, without namespaces; docs/sandbox.md says what that cannot hold."""

    machine: str


@frozen
class Seatbelt:
    """sandbox-exec of macOS."""


@frozen
class Unavailable:
    """Nothing works here; `reason` says what was tried and why it failed, in one line."""

    reason: str


Mechanism: TypeAlias = Bubblewrap | Namespaces | Landlock | Seatbelt


def masks(mechanism: Mechanism, confinement: Confinement) -> tuple[str, ...]:
    """The paths that must exist for `mechanism` to protect them, and go on existing: mounts hold nothing that is missing.

    Those that exist are among them, for they may be masks of a command that is about to end.
    """
    match mechanism:
        case Bubblewrap() | Namespaces():
            return confinement.protected
        case _:
            return ()


def confine(
    mechanism: Mechanism, confinement: Confinement, argv: Sequence[str], env: Mapping[str, str], *, tty: bool = False
) -> tuple[list[str], dict[str, str]]:
    """The command line and environment under which `argv` runs confined; to be started in its own working directory.

    `tty` says that the command shares a terminal whose interrupts it must receive. The process ends with the thread that
    starts it (Linux counts the thread, not the process, as the parent), so start it from one that lives as long.
    """
    env = {**env} if confinement.network else {**env, OFFLINE: "1"}
    match mechanism:
        case Bubblewrap(program=program, filters=filters, proc=proc, spares=spares):
            words = [program, *bubblewrap.arguments(confinement, tty=tty, proc=proc), "--"]
            if tty and spares and "=" not in argv[0]:
                words = ["env", f"--ignore-signal={TYPED}", *words, "env", f"--default-signal={TYPED}"]
            return ["/bin/sh", "-c", OPEN_FILTER, filters.path(network=confinement.network), *words, *argv], env
        case Namespaces(machine=machine):
            return [*_entering(machine, confinement, env, together=False), "--namespaces", "--", *argv], env
        case Landlock(machine=machine):
            return [*_entering(machine, confinement, env, together=True), "--", *argv], env
        case Seatbelt():
            return seatbelt.command(confinement, list(argv)), {**env, SEATBELT: "seatbelt"}


def _entering(machine: str, confinement: Confinement, env: Mapping[str, str], *, together: bool) -> list[str]:
    # The interpreter itself rather than a link to it in an environment, which a command may be able to replace.
    words = [os.path.realpath(sys.executable), "-I", "-S", ENTER, "--parent", str(os.getpid())]
    words += ["--filter", seccomp.program(machine, network=confinement.network, together=together).hex()]
    for rule in confinement.rules:
        words += ["--rule", rule.access, rule.path]
    for path in confinement.pinned:
        words += ["--pin", path]
    if confinement.names:
        words.append("--names")
    if "LC_CTYPE" not in env:
        words += ["--unset", "LC_CTYPE"]  # which Python sets for itself in a plain locale
    return [*words, "--network"] if confinement.network else words
