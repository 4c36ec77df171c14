"""The process of a server: started in a process group of its own, and ended with all of that group, in bounded time."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

import trio

log = logging.getLogger("spindle")

GRACE_SECONDS: Final = 2.0
"""How long a server may take to end after its input has ended, and again after SIGTERM."""
_REAP_SECONDS: Final = 2.0
# What every server gets of our environment; tokens and keys that lie in it are none of its business.
_PASSED_ON: Final = (
    "HOME", "LOGNAME", "PATH", "SHELL", "USER", "__CF_USER_TEXT_ENCODING", "LANG", "LC_ALL", "TERM", "TMPDIR", "TZ",
)  # fmt: skip


def environment(ours: Mapping[str, str], passed: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: a few variables of `ours`, those that `passed` names, and then its `own`."""
    return {name: ours[name] for name in (*_PASSED_ON, *passed) if name in ours} | dict(own)


async def start_child(argv: Sequence[str], cwd: str | None, env: Mapping[str, str]) -> trio.Process:
    """Start a server with pipes for its three streams. Raises OSError where it cannot be run."""
    return await trio.lowlevel.open_process(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=dict(env),
        process_group=0,
    )


async def end_child(process: trio.Process) -> None:
    """End a server and what it started: end of input, SIGTERM, SIGKILL, with time to go in between. Shielded, bounded.

    What it still writes is read and dropped, for a server that is stuck in a write never sees the end of its input.
    """
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    nursery.start_soon(_drain, stream)
            if process.stdin is not None:
                await process.stdin.aclose()
            if not await _ended(process, GRACE_SECONDS):
                _signal_group(process, signal.SIGTERM)
                await _ended(process, GRACE_SECONDS)
            # The leader may have gone and left others behind. Its number cannot be another group's while any of them
            # lives, and was reaped only just now if none does.
            _signal_group(process, signal.SIGKILL)
            if not await _ended(process, _REAP_SECONDS):
                log.error("MCP server process %d outlives SIGKILL", process.pid)
            nursery.cancel_scope.cancel()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                await stream.aclose()


async def _ended(process: trio.Process, seconds: float) -> bool:
    with trio.move_on_after(seconds):
        await process.wait()
    return process.returncode is not None


def _signal_group(process: trio.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process.pid, number)


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    try:
        while await stream.receive_some():
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        pass
