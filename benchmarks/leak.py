"""Starts a thousand threads, runs a turn in each, ends them, and checks that nothing of them stays.

Tasks, children, descriptors and memory of the daemon are compared after the first hundred and at the end. Memory may
grow by a tenth, the rest not at all. Connections to the model are counted apart: they are kept for the next turn, so
there may be as many as turns have run at once.

Then 500 threads are loaded side by side and unloaded, three times. The second and the third time may take a twentieth
more memory than the first, and objects must not grow with the number of threads. (An allocator does not return all
memory after the first time.)
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from driving import DEADLINE, Daemon, Speaker, new_home

THREADS, FIRST, AT_ONCE = 1000, 100, 10
MEMORY = 1.10
LOADED, ROUNDS, MEMORY_OF_ROUNDS = 500, 3, 1.05

# The daemon, with a signal handler that writes down the numbers of its trio tasks and of its Python objects.
PROGRAM = """
import gc, os, signal, trio
from spindle.cli import main

def write_counts(number, frame):
    gc.collect()
    with open(os.environ["COUNTS_FILE"] + ".new", "w") as file:
        file.write(f"{trio.lowlevel.current_statistics().tasks_living} {len(gc.get_objects())}")
    os.rename(file.name, os.environ["COUNTS_FILE"])

signal.signal(signal.SIGUSR1, write_counts)
main()
"""


def counts(pid: int, file: Path) -> tuple[int, int]:
    """The numbers of trio tasks and of Python objects of the daemon."""
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    limit = time.monotonic() + DEADLINE
    while not file.exists():
        if time.monotonic() > limit:
            raise SystemExit("the daemon did not write down its counts")
        time.sleep(0.01)
    tasks, objects = file.read_text().split()
    return int(tasks), int(objects)


def resident(pid: int) -> int:
    """Private and shared memory in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def connections(pid: int, port: int) -> int:
    """The number of the daemon's connections to `port`."""
    own = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in own for row in rows)


def measure(daemon: Daemon, file: Path, port: int) -> dict[str, int]:
    """The daemon's tasks, children, descriptors and memory when it is idle."""
    pid = daemon.process.pid
    daemon.call("thread/loaded/list")
    kept = connections(pid, port)
    children = sum(len(file.read_text().split()) for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return {
        "tasks": counts(pid, file)[0],
        "children": children,
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")) - kept,
        "connections": kept,
        "memory (KiB)": resident(pid),
    }


def load(daemon: Daemon) -> list[str]:
    """Start some threads and run a turn in each, at the same time."""
    ids = [daemon.call("thread/start")["thread"]["id"] for _ in range(AT_ONCE)]
    daemon.run_turns(ids)
    return ids


def unload(daemon: Daemon, threads: list[str]) -> None:
    """End the threads."""
    for thread in threads:
        daemon.call("thread/unsubscribe", threadId=thread)
    loaded = set(threads)
    while loaded:
        loaded.discard(daemon.wait_for(lambda message: message["method"] == "thread/closed")["params"]["threadId"])


def pass_through(daemon: Daemon, count: int) -> None:
    """Start `count` threads, some at a time, run a turn in each, and end them."""
    for _ in range(count // AT_ONCE):
        unload(daemon, load(daemon))


def rounds(daemon: Daemon, file: Path) -> bool:
    """Load many threads side by side and unload them, several times; returns whether that took no more and more memory."""
    pid, memory, objects = daemon.process.pid, [], []
    for number in range(1, ROUNDS + 1):
        threads = [thread for _ in range(LOADED // AT_ONCE) for thread in load(daemon)]
        full = resident(pid)
        unload(daemon, threads)
        memory.append(resident(pid))
        objects.append(counts(pid, file)[1])
        print(f"  round {number} of {LOADED}: {full} KiB loaded, {memory[-1]} KiB and {objects[-1]} objects unloaded")
    return max(memory) <= memory[0] * MEMORY_OF_ROUNDS and max(objects) < objects[0] + LOADED


def main() -> int:
    endpoint = Speaker()
    port = int(endpoint.server_address[1])
    with new_home(endpoint.url) as home, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "counts")
        os.environ["COUNTS_FILE"] = str(file)
        daemon = Daemon(home, PROGRAM)
        began = time.perf_counter()
        pass_through(daemon, FIRST)
        first = measure(daemon, file, port)
        pass_through(daemon, THREADS - FIRST)
        last = measure(daemon, file, port)
        seconds = time.perf_counter() - began
        even = rounds(daemon, file)
        still = daemon.call("thread/loaded/list")["data"]
        code = daemon.end()
    print(f"{THREADS} threads with a turn each in {seconds:.1f} s; still loaded: {len(still)}; exit {code}")
    for name, before in first.items():
        change = (last[name] / before - 1) * 100 if before else 0
        print(f"  {name:14} {before:8} after {FIRST}, {last[name]:8} after {THREADS} ({change:+.1f} %)")
    memory = first.pop("memory (KiB)"), last.pop("memory (KiB)")
    kept = first.pop("connections"), last.pop("connections")
    grown = [name for name in first if last[name] > first[name]]
    bounded = memory[1] <= memory[0] * MEMORY and max(kept) <= AT_ONCE
    return 0 if not grown and not still and code == 0 and bounded and even else 1


if __name__ == "__main__":
    sys.exit(main())
