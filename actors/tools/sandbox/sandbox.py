"""The sandbox of one runtime: find the mechanism of this machine once, and confine commands with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import evolve

from spindle.actors.tools.sandbox import bubblewrap, seatbelt, seccomp
from spindle.actors.tools.sandbox.confinement import AccessRule, Confinement
from spindle.actors.tools.sandbox.masks import Masks
from spindle.actors.tools.sandbox.mechanism import (
    Bubblewrap,
    Landlock,
    Mechanism,
    Namespaces,
    Seatbelt,
    Unavailable,
    confine,
    masks,
)
from spindle.rpc.lazy_class import frozen

TRIAL_DEADLINE: Final = 5.0
"""Deadline for the trial of one mechanism, in seconds."""
TRIAL: Final = Confinement((AccessRule("/", "read"),), network=False)


class SandboxUnavailable(Exception):
    """The command cannot be confined on this machine, or not now. The message says why."""


@frozen
class Confined:
    """The command line and environment to start for a confined command."""

    argv: Sequence[str]
    env: Mapping[str, str]


class Sandbox:
    """Confines the commands of one runtime. Close it after the last command.

    `mechanism` None: find the first that works.
    """

    def __init__(self, mechanism: Mechanism | Unavailable | None = None) -> None:
        self._mechanism = mechanism
        self._filters: list[seccomp.Filters] = []
        self._masks = Masks()
        self._lock = threading.Lock()

    def mechanism(self) -> Mechanism | Unavailable:
        """The first mechanism that works here. The first call blocks for up to some seconds: for worker threads."""
        with self._lock:
            if self._mechanism is None:
                self._mechanism = self._find()
            return self._mechanism

    @asynccontextmanager
    async def confined(
        self, confinement: Confinement, argv: Sequence[str], env: Mapping[str, str], *, tty: bool = False
    ) -> AsyncGenerator[Confined, None]:
        """The command to start for `argv`; leave the block after its process has ended.

        See `confine` for `tty` and for the thread to start it from. Raises SandboxUnavailable.
        """
        mechanism = await trio.to_thread.run_sync(self.mechanism)
        if isinstance(mechanism, Unavailable):
            raise SandboxUnavailable(f"no sandbox works here: {mechanism.reason}")
        command, held, folder = await trio.to_thread.run_sync(self._prepare, mechanism, confinement, argv, env, tty)
        try:
            yield command
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._clear, held, folder)

    def close(self) -> None:
        """Close the open files."""
        while self._filters:
            self._filters.pop().close()

    def _prepare(
        self, mechanism: Mechanism, confinement: Confinement, argv: Sequence[str], env: Mapping[str, str], tty: bool
    ) -> tuple[Confined, tuple[str, ...], str | None]:
        folder = None
        if isinstance(mechanism, Landlock) and confinement.access(os.path.realpath(tempfile.gettempdir())) == "write":
            # Landlock cannot allow new files in the shared folder, see docs/sandbox.md
            folder = os.path.realpath(tempfile.mkdtemp(prefix="spindle-"))
            confinement = evolve(confinement, rules=(*confinement.rules, AccessRule(folder, "write")))
            env = {**env, "TMPDIR": folder}
        try:
            held = self._masks.hold(masks(mechanism, confinement))
        except TimeoutError as error:
            self._clear((), folder)
            raise SandboxUnavailable(f"the command cannot be confined: {error}") from error
        return Confined(*confine(mechanism, confinement, argv, env, tty=tty)), held, folder

    def _clear(self, held: tuple[str, ...], folder: str | None) -> None:
        self._masks.release(held)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _find(self) -> Mechanism | Unavailable:
        if sys.platform == "darwin":
            return Seatbelt() if os.access(seatbelt.PROGRAM, os.X_OK) else Unavailable(f"{seatbelt.PROGRAM} is missing")
        if sys.platform != "linux":
            return Unavailable(f"no sandbox is known for {sys.platform}")
        machine = os.uname().machine
        if machine not in seccomp.MACHINES:
            return Unavailable(f"no table of system calls for {machine}")
        reasons: list[str] = []
        for candidate in self._candidates(machine):
            reason = trial(candidate)
            if reason is None:
                return candidate
            reasons.append(f"{type(candidate).__name__}: {reason}")
        return Unavailable("; ".join(reasons))

    def _candidates(self, machine: str) -> Iterator[Mechanism]:
        program = next((place for place in bubblewrap.PLACES if os.access(place, os.X_OK)), None)
        if program is not None:
            filters = seccomp.Filters(machine)
            self._filters.append(filters)
            spares = _works(["env", "--ignore-signal=INT", "env", "--default-signal=INT", "true"]) is None
            yield Bubblewrap(program, filters, True, spares)
            yield Bubblewrap(program, filters, False, spares)
        yield Namespaces(machine)
        yield Landlock(machine)


def trial(candidate: Mechanism) -> str | None:
    """Why a mechanism does not work here; None if it does. Blocks up to `TRIAL_DEADLINE`."""
    return _works(*confine(candidate, TRIAL, ["/bin/sh", "-c", "exit 0"], os.environ))


def _works(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str | None:
    try:
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_DEADLINE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    errors = done.stderr.decode(errors="replace").strip().splitlines()
    return errors[-1] if errors else f"exit code {done.returncode}"
