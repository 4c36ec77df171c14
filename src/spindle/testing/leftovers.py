"""Checks that nothing is left: tasks, threads, processes, worker threads, descriptors, locks, temporary files, turns without an
end. What is left is named, with where it was started.
"""

from __future__ import annotations

import fcntl
import inspect
import os
import re
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import orjson
import trio
from attrs import Factory, frozen
from trio.testing import active_thread_count

from spindle.actors.tools.commands import warden
from spindle.rpc.lenient import mapping
from spindle.storage.home import Home
from spindle.storage.outside import place_of
from spindle.storage.rollout import records
from spindle.testing.clock import tasks
from spindle.testing.insides import backend_of, nurseries

if TYPE_CHECKING:
    from spindle.actors.embedding.runtime import Runtime

PATIENCE: Final = 2.0
"""Real seconds in which what is ending may end."""
_PAUSE: Final = 0.01
_LINE: Final = 64 << 20
_TEMPORARY: Final = re.compile(r".*\.tmp|\..*\.\d+-[0-9a-f]{8,}|.*\.torn")
_BEGINS: Final = (records.TASK_STARTED, records.TURN_STARTED)
_ENDS: Final = (records.TASK_COMPLETE, records.TURN_COMPLETE, records.TURN_ABORTED)
_OF_TRIO: Final = "<TrioToken.run_sync_soon task>"
_STANDING: Final = ("the registry", "the grouping of disk syncs", "the index of threads")
"""Tasks that a runtime has as long as it is open."""


@asynccontextmanager
async def nothing_left(
    runtime: Runtime | None = None, *, home: str | os.PathLike[str] | None = None
) -> AsyncGenerator[None]:
    """Check at the end of the block that nothing is left that was started in it.

    These are tasks below the task of the block and system tasks, processes, worker threads and descriptors; with a `runtime`,
    which stays open, also its loaded threads, and not what it keeps for itself; with a `home` (that of the runtime, if there is
    one), writers' locks, temporary files, and turns without an end. What is just ending gets `PATIENCE` seconds. An exception
    of the block is raised as it is, without the check. Raises AssertionError that names what is left.
    """
    spawned = _Spawned()
    trio.lowlevel.add_instrument(spawned)
    try:
        before = _Seen.now(runtime)
        yield
        await _check(runtime, home, before, spawned)
    finally:
        trio.lowlevel.remove_instrument(spawned)


async def assert_nothing_left(
    runtime: Runtime | None = None, *, home: str | os.PathLike[str] | None = None
) -> None:
    """As the end of `nothing_left`, whenever it was started; descriptors are not looked at, since some may be older."""
    await _check(runtime, home, None, _Spawned())


@frozen
class _Seen:
    """What there was."""

    tasks: frozenset[trio.lowlevel.Task] = frozenset()
    processes: Mapping[int, str] = Factory(dict[int, str])
    descriptors: Mapping[int, str] | None = None
    threads: int = 0
    loaded: frozenset[str] = frozenset()

    @classmethod
    def now(cls, runtime: Runtime | None) -> _Seen:
        return cls(
            frozenset(_concerned(runtime)),
            _processes(),
            _descriptors(),
            active_thread_count(),
            frozenset(backend_of(runtime).loaded()) if runtime is not None else frozenset(),
        )


class _Spawned(trio.abc.Instrument):
    """Where each task was started."""

    def __init__(self) -> None:
        self.places: dict[trio.lowlevel.Task, str] = {}

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """See trio.abc.Instrument."""
        frame, own = inspect.currentframe(), _Spawned.task_spawned.__code__
        while frame is not None and (frame.f_code is own or _of_trio(frame)):
            frame = frame.f_back
        if frame is not None:
            self.places[task] = _place(frame, frame.f_lineno)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """See trio.abc.Instrument."""
        self.places.pop(task, None)


async def _check(
    runtime: Runtime | None, home: str | os.PathLike[str] | None, before: _Seen | None, spawned: _Spawned
) -> None:
    until = time.perf_counter() + PATIENCE
    if home is None and runtime is not None:
        home = runtime.home
    while True:
        await trio.lowlevel.checkpoint()
        left = list(_left(runtime, before or _Seen(), spawned, descriptors=before is not None))
        if home is not None and not left:
            left = await trio.to_thread.run_sync(partial(_files, Home(Path(home))))
        if not left:
            return
        if time.perf_counter() > until:
            raise AssertionError("\n  ".join(["what is left:", *left]))
        await trio.to_thread.run_sync(time.sleep, _PAUSE)


def _left(runtime: Runtime | None, before: _Seen, spawned: _Spawned, *, descriptors: bool) -> Iterator[str]:
    for task in _concerned(runtime):
        if task not in before.tasks and not (runtime is not None and task.name in _STANDING):
            yield f"the task {task.name!r}{_where(task, spawned)}"
    standing = None
    if runtime is not None:
        backend = backend_of(runtime)
        for id in sorted(set(backend.loaded()) - before.loaded):
            status = backend.status(id)
            yield f"the thread {id}, which is loaded ({status.type if status is not None else 'starting'})"
        standing = backend.warden.trees().warden if backend.warden is not None else None
    for pid, command in _processes().items():
        if pid not in before.processes and pid != standing:
            yield f"the process {pid}: {command}"
    if (more := active_thread_count() - before.threads) > 0:
        yield f"{more} worker thread(s)"
    if descriptors:
        old = before.descriptors or {}
        for number, target in _descriptors().items():
            if old.get(number) != target and not (runtime is not None and _kept(runtime, target)):
                yield f"the descriptor {number}: {target}"


def _concerned(runtime: Runtime | None) -> set[trio.lowlevel.Task]:
    """The tasks below this one, system tasks, and those of the runtime."""
    own = trio.lowlevel.current_task()
    open_ = nurseries(runtime) if runtime is not None else []
    ours = {task for nursery in open_ for top in nursery.child_tasks for task in tasks(top)}
    return ours.union(_below_or_of_the_system()) - {own}


def _below_or_of_the_system() -> Iterator[trio.lowlevel.Task]:
    own = trio.lowlevel.current_task()
    above, task = set[trio.lowlevel.Task](), own
    while task.parent_nursery is not None:
        above.add(task)
        task = task.parent_nursery.parent_task
    yield from tasks(own)
    for nursery in task.child_nurseries:
        for system in nursery.child_tasks - above:
            if system.name != _OF_TRIO:
                yield from tasks(system)


def _where(task: trio.lowlevel.Task, spawned: _Spawned) -> str:
    started = spawned.places.get(task)
    frames = [_place(frame, line) for frame, line in task.iter_await_frames() if not _of_trio(frame)]
    parts = [f"started at {started}"] if started is not None else []
    return ", " + ", ".join([*parts, f"waiting at {frames[-1]}"]) if frames else ", ".join(["", *parts])


def _of_trio(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).split(".")[0] == "trio"


def _place(frame: FrameType, line: int) -> str:
    return f"{frame.f_code.co_filename}:{line}"


def _processes() -> dict[int, str]:
    """The processes below this one, with their command lines."""
    return {pid: command for pid in warden.descendants(os.getpid()) if (command := _command(pid))}


def _command(pid: int) -> str:
    """The command line of a process; "" for one that has ended."""
    if Path("/proc/self").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return ""
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False).stdout
    return "" if shown.startswith(b"ps ") else shown.decode("utf-8", "replace").strip()


def _descriptors() -> dict[int, str]:
    """The open descriptors, with what they lead to."""
    found: dict[int, str] = {}
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):
            os.fstat(number)  # the listing's own has been closed
            found[number] = os.readlink(f"/proc/self/fd/{number}") if os.path.exists("/proc/self/fd") else _target(number)
    return found


def _target(number: int) -> str:
    try:
        return place_of(number)
    except (OSError, ValueError):
        return "not a file"


def _kept(runtime: Runtime, target: str) -> bool:
    """Whether a runtime may keep this descriptor while it is open: a socket or a pipe, or a database of its home."""
    return not target.startswith("/") or target.startswith(os.path.realpath(backend_of(runtime).home.spindle))


def _files(home: Home) -> list[str]:
    locks = sorted(home.locks.glob("*.lock")) if home.locks.is_dir() else ()
    left = [f"the writer's lock {lock}, which is held" for lock in locks if _held(lock)]
    for path in sorted(home.path.rglob("*")):
        if _TEMPORARY.fullmatch(path.name):
            left.append(f"the file {path}")
        elif path.name.startswith("rollout-") and path.suffix == ".jsonl":
            left += [f"the turn {turn} without an end, in {path}" for turn in _unfinished(path)]
    return left


def _held(lock: Path) -> bool:
    with suppress(FileNotFoundError), lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _unfinished(rollout: Path) -> list[str]:
    """The turns of a rollout that have begun and have no end."""
    running: list[str] = []
    with suppress(FileNotFoundError), rollout.open("rb") as file:
        while line := file.readline(_LINE):
            if records.EVENT_MSG.encode() not in line[:200]:
                continue
            with suppress(orjson.JSONDecodeError):
                payload = mapping(mapping(orjson.loads(line)).get("payload"))
                kind, turn = payload.get("type"), str(payload.get("turn_id"))
                if kind in _BEGINS:
                    running.append(turn)
                elif kind in _ENDS and turn in running:
                    running.remove(turn)
    return running
