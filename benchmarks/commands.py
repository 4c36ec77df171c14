"""Measures commands: how long a start takes, a flood of output, and the end of a hundred commands with all their children.

The last part counts the processes that are left: after closing, after SIGTERM and after SIGKILL of the runtime. Linux.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import trio

from spindle.actors.tools.commands.execution import Execution
from spindle.actors.tools.commands.process import Command, Process, Warden, open_warden

STARTS, AT_ONCE, FLOOD, SESSIONS = 100, 32, 50_000_000, 100
MARK = f"9{os.getpid():07d}"  # seconds that the commands below sleep; finds them in the process table
TREE = (
    "sleep {mark} & setsid sleep {mark} & (setsid sh -c 'sleep {mark} & exec setsid sleep {mark}' &); "
    "echo ready; sleep {mark}"
)


def command(script: str, tty: bool = False) -> Command:
    return Command(argv=["sh", "-c", script], cwd="/", env={"PATH": os.environ["PATH"]}, tty=tty)


def alive(mark: str) -> int:
    """The number of processes with `mark` in their arguments, without this one and the runtime's."""
    found = 0
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        found += any(mark.encode() in word for word in words) and b"--runtime" not in words
    return found


def private_kib(pid: int) -> int:
    """Memory that only this process uses."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_"))


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def once(warden: Warden) -> float:
    began = time.perf_counter()
    async with await warden.start(command("exit 0")) as process:
        await process.wait()
    return time.perf_counter() - began


async def starting(warden: Warden) -> None:
    began = time.perf_counter()
    await once(warden)
    print(f"first command, with the warden's start   {(time.perf_counter() - began) * 1000:7.1f} ms")
    times = [await once(warden) for _ in range(STARTS)]
    print(f"start, wait and close, one by one        {statistics.median(times) * 1000:7.1f} ms")
    bare = []
    for _ in range(STARTS):
        began = time.perf_counter()
        await trio.run_process(["sh", "-c", "exit 0"])
        bare.append(time.perf_counter() - began)
    print(f"the same with trio.run_process           {statistics.median(bare) * 1000:7.1f} ms")
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(once, warden)
    print(f"{AT_ONCE} at once, each                        {(time.perf_counter() - began) / AT_ONCE * 1000:7.1f} ms")


async def flooding(warden: Warden, tty: bool) -> None:
    late: list[float] = []
    shown = 0

    async def other() -> None:
        while True:
            began = time.perf_counter()
            await trio.sleep(0.001)
            late.append(time.perf_counter() - began - 0.001)

    def emit(text: str) -> None:
        nonlocal shown
        shown += len(text)

    before = resident_kib()
    async with trio.open_nursery() as nursery:
        flood = command(f"yes 0123456789012345678901234567890123456789 | head -c {FLOOD}", tty)
        execution = Execution(warden, flood, emit=emit, room=trio.lowlevel.checkpoint)
        nursery.start_soon(other)
        await nursery.start(execution.run)
        await execution.exited.wait()
        nursery.cancel_scope.cancel()
    late.sort()
    print(
        f"{FLOOD // 1_000_000} MB by {'a terminal' if tty else 'a pipe':10}                      {execution.seconds:7.2f} s, "
        f"memory +{max(0, resident_kib() - before) / 1024:.1f} MiB, shown {shown / 1e6:.0f} MB, another task late "
        f"{statistics.median(late) * 1000:.2f} ms (p50), {late[-1] * 1000:.1f} ms (most)"
    )


async def fill(warden: Warden, mark: str) -> list[Process]:
    """A terminal and a running command with a tree of five for each session."""
    processes: list[Process] = []
    for number in range(2 * SESSIONS):
        process = await warden.start(command(TREE.format(mark=mark), tty=number % 2 == 0))
        while b"ready" not in await process.read():
            pass
        processes.append(process)
    return processes


async def closing() -> None:
    async with open_warden() as warden:
        processes = await fill(warden, MARK)
        count = alive(MARK)
        keepers = {parent(process.pid) for process in processes}
        kib = statistics.median(private_kib(pid) for pid in keepers)
        print(f"memory of a keeper, its own              {kib:7.0f} KiB")
        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for process in processes:
                nursery.start_soon(process.aclose)
        took = time.perf_counter() - began
    print(
        f"{SESSIONS} sessions closed                      {took:7.2f} s, {count} processes before, {alive(MARK)} left"
    )


def killing(how: signal.Signals) -> None:
    mark = f"{MARK}{how.value:02d}"
    runtime = subprocess.Popen([sys.executable, __file__, "--runtime", mark], stdout=subprocess.PIPE)
    assert runtime.stdout is not None
    runtime.stdout.readline()
    count = alive(mark)
    began = time.perf_counter()
    runtime.send_signal(how)
    runtime.wait()
    while alive(mark) and time.perf_counter() - began < 10:
        time.sleep(0.01)
    took = time.perf_counter() - began
    print(
        f"{SESSIONS} sessions, {how.name:8}                    {took:7.2f} s, {count} processes before, {alive(mark)} left"
    )
    runtime.stdout.close()


async def runtime(mark: str) -> None:
    async with open_warden() as warden:
        processes = await fill(warden, mark)
        print("ready", len(processes), flush=True)
        await trio.sleep_forever()


async def main() -> None:
    async with open_warden() as warden:
        await starting(warden)
        for tty in (False, True):
            await flooding(warden, tty)
    await closing()


if __name__ == "__main__":
    if "--runtime" in sys.argv:
        trio.run(runtime, sys.argv[-1])
    else:
        trio.run(main)
        for number in (signal.SIGTERM, signal.SIGKILL):
            killing(number)
