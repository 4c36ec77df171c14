"""The mechanisms that can confine a command, and the command line of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from spindle.actors.tools.sandbox import bubblewrap, seatbelt, seccomp
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.rpc.lazy_class import frozen

ENTER: Final = str(Path(__file__).resolve().with_name("enter.py"))
OFFLINE: Final = "CODEX_SANDBOX_NETWORK_DISABLED"
"""Set to 1 for commands without network, as Codex does."""
SEATBELT: Final = "CODEX_SANDBOX"
"""Set to seatbelt under sandbox-exec, as Codex does."""
OPEN_FILTER: Final = f'exec "$@" {bubblewrap.FILTER_DESCRIPTOR}<"$0"'
"""A shell opens the filter for bubblewrap, because arguments cannot pass an open file."""
TYPED: Final = "INT,QUIT"
"""The signals that a user types; they are for the command, not for the process that confines it."""


@frozen
class Bubblewrap:
    """Namespaces and mounts by bubblewrap, with the seccomp filter.

    `proc`: this machine can mount a new /proc. `spares`: its env(1) can ignore signals and restore them.
    """

    program: str
    filters: seccomp.Filters
    proc: bool = True
    spares: bool = True


@frozen
class Namespaces:
    """Namespaces and mounts by `enter.py`, with Landlock and the seccomp filter."""

    machine: str


@frozen
class Landlock:
    """Landlock and the seccomp filter by `enter.py`, without namespaces; docs/sandbox.md has its limits."""

    machine: str


@frozen
class Seatbelt:
    """sandbox-exec of macOS."""


@frozen
class Unavailable:
    """No mechanism works. `reason` says in one line what was tried and why it failed."""

    reason: str


Mechanism: TypeAlias = Bubblewrap | Namespaces | Landlock | Seatbelt


def masks(mechanism: Mechanism, confinement: Confinement) -> tuple[str, ...]:
    """The paths that must exist while the command runs, because `mechanism` protects them with mounts.

    Existing paths are included: they may be masks of a command that is ending.
    """
    match mechanism:
        case Bubblewrap() | Namespaces():
            return confinement.protected
        case _:
            return ()


def confine(
    mechanism: Mechanism, confinement: Confinement, argv: Sequence[str], env: Mapping[str, str], *, tty: bool = False
) -> tuple[list[str], dict[str, str]]:
    """The command line and environment that run `argv` confined; start it in the command's working directory.

    `tty`: the command must receive the interrupts of its terminal. The process is killed when the thread that started it ends
    (for Linux the parent is the thread), so start it from a long-lived thread.
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
    # the real interpreter: a command may be able to replace the link in a virtual environment
    words = [os.path.realpath(sys.executable), "-I", "-S", ENTER, "--parent", str(os.getpid())]
    words += ["--filter", seccomp.program(machine, network=confinement.network, together=together).hex()]
    for rule in confinement.rules:
        words += ["--rule", rule.access, rule.path]
    for path in confinement.pinned:
        words += ["--pin", path]
    if confinement.names:
        words.append("--names")
    if "LC_CTYPE" not in env:
        words += ["--unset", "LC_CTYPE"]  # Python sets it for itself in the C locale
    return [*words, "--network"] if confinement.network else words
