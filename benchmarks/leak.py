"""Starts a thousand threads, runs a turn in each, ends them, and checks that nothing of them stays.

Tasks, children, descriptors and memory of the daemon are compared after the first hundred and at the end. Memory may
grow by a tenth, the rest not at all. Connections to the model are counted apart: they are kept for the next turn, so
there may be as many as turns have run at once.
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

# The daemon, with a signal handler that writes down the number of its trio tasks.
PROGRAM = """
import os, signal, trio
from spindle.cli import main

def write_count(number, frame):
    with open(os.environ["TASKS_FILE"] + ".new", "w") as file:
        file.write(str(trio.lowlevel.current_statistics().tasks_living))
    os.rename(file.name, os.environ["TASKS_FILE"])

signal.signal(signal.SIGUSR1, write_count)
main()
"""


def tasks(pid: int, count_file: Path) -> int:
    """The number of trio tasks of the daemon."""
    count_file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    limit = time.monotonic() + DEADLINE
    while not count_file.exists():
        if time.monotonic() > limit:
            raise SystemExit("the daemon did not write down the number of its tasks")
        time.sleep(0.01)
    return int(count_file.read_text())


def resident(pid: int) -> int:
    """Private and shared memory in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def connections(pid: int, port: int) -> int:
    """The number of the daemon's connections to `port`."""
    own = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in own for row in rows)


def measure(daemon: Daemon, count_file: Path, port: int) -> dict[str, int]:
    """The daemon's tasks, children, descriptors and memory when it is idle."""
    pid = daemon.process.pid
    daemon.call("thread/loaded/list")
    kept = connections(pid, port)
    children = sum(len(file.read_text().split()) for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return {
        "tasks": tasks(pid, count_file),
        "children": children,
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")) - kept,
        "connections": kept,
        "memory (KiB)": resident(pid),
    }


def pass_through(daemon: Daemon, count: int) -> None:
    """Start `count` threads, some at a time, run a turn in each, and end them."""
    for _ in range(count // AT_ONCE):
        ids = [daemon.call("thread/start")["thread"]["id"] for _ in range(AT_ONCE)]
        for thread in ids:
            daemon.start_turn(thread, "hello")
        running = set(ids)
        while running:
            ended = daemon.wait_for(lambda message: message["method"] == "turn/completed")["params"]
            if ended["turn"]["status"] != "completed":
                raise SystemExit(f"a turn failed: {ended}")
            running.discard(ended["threadId"])
        for thread in ids:
            daemon.call("thread/unsubscribe", threadId=thread)
        loaded = set(ids)
        while loaded:
            loaded.discard(daemon.wait_for(lambda message: message["method"] == "thread/closed")["params"]["threadId"])


def main() -> int:
    endpoint = Speaker()
    port = int(endpoint.server_address[1])
    with new_home(endpoint.url) as home, tempfile.TemporaryDirectory() as folder:
        count_file = Path(folder, "tasks")
        os.environ["TASKS_FILE"] = str(count_file)
        daemon = Daemon(home, PROGRAM)
        began = time.perf_counter()
        pass_through(daemon, FIRST)
        first = measure(daemon, count_file, port)
        pass_through(daemon, THREADS - FIRST)
        last = measure(daemon, count_file, port)
        seconds = time.perf_counter() - began
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
    return 0 if not grown and not still and code == 0 and bounded else 1


if __name__ == "__main__":
    sys.exit(main())
