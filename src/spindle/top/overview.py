"""Everything that `spindle top` shows: the runtimes of a home, and other processes that hold its threads."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import trio

from spindle.rpc.inspection import InspectedRuntime, InspectedThread
from spindle.rpc.lazy_class import frozen
from spindle.storage.home import Home
from spindle.storage.locks import is_alive
from spindle.storage.rollout.writer_lock import lock_holders
from spindle.top.asking import ask_all
from spindle.top.processes import Usage, usage


@frozen(kw_only=True)
class Process:
    """A process with a runtime of the home, or another one that holds locks of threads.

    runtime: what it has answered; None if it cannot be asked, or has not answered: then `problem` says why.
    locks: the threads that it writes to, by their locks.
    """

    pid: int
    runtime: InspectedRuntime | None
    problem: str | None
    usage: Usage | None
    locks: Sequence[str]
    threads: Sequence[InspectedThread]


@frozen(kw_only=True)
class Overview:
    """The processes of a home at a time (Unix seconds)."""

    home: str
    time: float
    processes: Sequence[Process]


async def look(home: Home) -> Overview:
    """Ask and look now. Raises OSError."""
    answers = await ask_all(home.running)
    asked = {answer.pid for answer in answers}

    def look_at_system() -> tuple[dict[int, list[str]], dict[int, Usage | None]]:
        locks: dict[int, list[str]] = {}
        for thread_id, pid, _ in lock_holders(home.locks):
            if is_alive(pid):
                locks.setdefault(pid, []).append(thread_id)
        return locks, {pid: usage(pid) for pid in {*asked, *locks} - {os.getpid()}}

    locks, usages = await trio.to_thread.run_sync(look_at_system)
    processes = [
        Process(
            pid=answer.pid,
            runtime=answer.runtime,
            problem=answer.problem,
            usage=usages.get(answer.pid),
            locks=sorted(locks.get(answer.pid, ())),
            threads=sorted(answer.threads, key=_order),
        )
        for answer in answers
    ]
    processes += [
        Process(pid=pid, runtime=None, problem=None, usage=usages.get(pid), locks=sorted(held), threads=())
        for pid, held in sorted(locks.items())
        if pid not in asked
    ]
    return Overview(home=str(home.path), time=round(time.time(), 3), processes=processes)


def _order(thread: InspectedThread) -> tuple[bool, float, str]:
    """Threads with a turn first, the longest one at the top."""
    return thread.turn is None, -thread.turn.seconds if thread.turn is not None else 0.0, thread.id
