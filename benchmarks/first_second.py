"""Measures what a user waits for in the first second, and what is left when many threads run or end.

    python benchmarks/first_second.py [--server COMMAND] [--against COMMAND] [--repeats 5] [--only PART]

Each figure has its own server and home; HOME is temporary too. The model is another process that only sends prepared bytes.
CPU is that of the server and of all that it has started. Needs Linux for /proc.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from driving import DEADLINE, Daemon, ModelProcess, new_home, pieces, response, running, serve, spoken
from driving.comparing import Command, Figure, arguments, compare
from driving.processes import processor, proportional, settle, tree
from listing import fill, template
from rollouts import write_rollout

PAUSE = 1.0
"""Seconds between `initialize` and the first request of a client that does not hurry."""
LISTED, PAGE = 5000, 25
RUNNING, TURNS = 8, 2
HISTORY, OUTPUT = 76_000_000, 2500  # bytes of the rollout, and of the command of each turn: 10,000 turns
SERVED, WINDOW = 300, 16
AT_ONCE, ROUNDS = 64, 10
ANSWER = response(*spoken(pieces(4)))
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"

MCP_SERVER = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = {}
    if request["method"] == "initialize":
        version = request["params"]["protocolVersion"]
        result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "tiny", "version": "1"}}
    elif request["method"] == "tools/list":
        result = {"tools": [{"name": "nothing", "inputSchema": {"type": "object", "properties": {}}}]}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
"""


class Bench:
    def __init__(self, url: str, folder: Path, served: int) -> None:
        self.url, self.folder, self.served = url, folder, served

    def cold_start(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url) as home:
            for kind in ("new", "known"):
                with running(home, command) as (daemon, seconds):
                    yield Figure(f"cold start to the initialize response, {kind} home", seconds * 1000, "ms")
                    settle(daemon.process.pid)
                    used = processor(daemon.process.pid)
                    yield Figure(f"CPU until settled, {kind} home", used * 1000, "ms")

    def first_turn(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url) as home:
            for kind in ("new", "known"):
                with running(home, command) as (daemon, _):
                    daemon.run_turns([daemon.start_thread()])
                    used = processor(daemon.process.pid)
                yield Figure(f"CPU to the end of the first turn, no pause, {kind} home", used * 1000, "ms")

    def after_a_pause(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url) as home, running(home, command) as (daemon, _):
            time.sleep(PAUSE)
            began = time.perf_counter()
            thread = daemon.start_thread()
            between = time.perf_counter()
            daemon.run_turns([thread])
            ended = time.perf_counter()
        yield Figure("thread/start after a pause", (between - began) * 1000, "ms")
        yield Figure("first turn after a pause", (ended - between) * 1000, "ms")

    @functools.cached_property
    def listed(self) -> Path:
        """A home with many rollouts, as Spindle writes them. No server has seen it."""
        home = self.folder / "listed"
        fill(home, template(None), LISTED)
        return home

    def first_page(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url) as home:
            shutil.copytree(self.listed, home, dirs_exist_ok=True)
            for kind in (f"home of {LISTED} threads never seen", "after a restart"):
                with running(home, command) as (daemon, _):
                    began = time.perf_counter()
                    rows = daemon.call("thread/list", limit=PAGE)["data"]
                    seconds = time.perf_counter() - began
                    if len(rows) != PAGE:
                        raise SystemExit(f"{len(rows)} threads on the first page")
                    yield Figure(f"first list page, {kind}", seconds * 1000, "ms")
                    settle(daemon.process.pid)

    def restart(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url) as home:
            daemon = Daemon(home, command=command)
            threads = [daemon.start_thread() for _ in range(RUNNING)]
            for thread in threads * TURNS:
                daemon.run_turns([thread])
            for thread in threads:
                daemon.start_turn(thread, "hello")
            daemon.kill()
            with running(home, command) as (_, seconds):
                yield Figure("restart after kill -9, to the initialize response", seconds * 1000, "ms")

    @functools.cached_property
    def long(self) -> tuple[Path, str, int]:
        """A home with one long rollout, its thread, and its number of turns."""
        home = self.folder / "long"
        thread, _, turns = write_rollout(home, HISTORY, output=OUTPUT, calls=1, provider="scripted")
        return home, thread, turns

    def long_resume(self, command: Command) -> Iterator[Figure]:
        source, thread, turns = self.long
        with new_home(self.url) as home:
            shutil.copytree(source, home, dirs_exist_ok=True)
            with running(home, command) as (daemon, _):
                began = time.perf_counter()
                daemon.call("thread/resume", threadId=thread)
                resumed = time.perf_counter()
                settle(daemon.process.pid)
                before = time.perf_counter()
                daemon.run_turns([thread])
                ended = time.perf_counter()
        size = f"{HISTORY // 1_000_000} MB of {turns} turns"
        yield Figure(f"resume of {size}", (resumed - began) * 1000, "ms")
        yield Figure(f"first turn after resuming {size}", (ended - before) * 1000, "ms")

    def unload(self, command: Command) -> Iterator[Figure]:
        """Threads with an MCP server each on standard input and output."""
        with new_home(self.url, "thread_unload_delay_secs = 0") as home:
            serve_tools(Path(home))
            with running(home, command) as (daemon, _):
                pid = daemon.process.pid
                threads = [daemon.start_thread() for _ in range(self.served)]
                for thread in threads:
                    daemon.run_turns([thread])
                settle(pid)
                what = f"{self.served} threads with an MCP server each"
                yield Figure(f"{what}: processes", len(tree(pid)) - 1, "")
                yield Figure(f"{what}: PSS of all processes", proportional(pid), "MiB")
                used, began = processor(pid), time.perf_counter()
                daemon.close_threads(threads, at_once=WINDOW)
                yield Figure(f"{what}: to the last thread/closed", time.perf_counter() - began, "s")
                limit = time.monotonic() + DEADLINE
                while (
                    len(tree(pid)) > 2 and time.monotonic() < limit
                ):  # a server may keep one process for the next ones
                    time.sleep(0.02)
                yield Figure(f"{what}: to the last exit", time.perf_counter() - began, "s")
                yield Figure(f"{what}: CPU of each end", (processor(pid) - used) * 1000 / self.served, "ms")

    def at_once(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url) as home, running(home, command) as (daemon, _):
            pid = daemon.process.pid
            threads = [daemon.start_thread() for _ in range(AT_ONCE)]
            daemon.run_turns(threads)
            settle(pid)
            used, began = processor(pid), time.perf_counter()
            for _ in range(ROUNDS):
                daemon.run_turns(threads)
            seconds = time.perf_counter() - began
            used = processor(pid) - used
        yield Figure(f"{AT_ONCE} threads at once", AT_ONCE * ROUNDS / seconds, "turns/s")
        yield Figure(f"{AT_ONCE} threads at once, CPU of a turn", used * 1000 / AT_ONCE / ROUNDS, "ms")


def serve_tools(home: Path) -> None:
    """Configure a small MCP server."""
    program = home / "tiny.py"
    program.write_text(MCP_SERVER)
    arguments = json.dumps(["-I", "-S", str(program)])
    with (home / "config.toml").open("a") as file:
        file.write(f"\n[mcp_servers.tiny]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n")


def main() -> int:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--served", type=int, default=SERVED, help="threads with an MCP server each")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        serve(lambda method, path, body: (ANSWER if method == "POST" else NOT_FOUND, False))
    with ModelProcess(__file__) as model, tempfile.TemporaryDirectory(prefix="spindle-benchmark-") as folder:
        bench = Bench(model.url, Path(folder), options.served)
        return compare(
            (
                bench.cold_start, bench.first_turn, bench.after_a_pause, bench.first_page,
                bench.restart, bench.long_resume, bench.unload, bench.at_once,
            ),
            options,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
