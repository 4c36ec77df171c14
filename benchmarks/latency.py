"""Measures times, memory and processor time of an app-server, as a table. `--server COMMAND` measures another one.

Each figure has its own daemon and home. The model is another process that only sends prepared bytes.
Memory and processor time are those of all processes of the server. Needs Linux for /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import queue
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from driving import DEADLINE, Daemon, ModelProcess, Refused, new_home, pieces, response, serve, spoken

SPAWNS, STARTS, LOADED, TURNS = 5, 200, (500, 2000), 100
AT_ONCE, ROUNDS, WORDS, DELTAS, REPEATS = 64, 10, 4, 5000, 3
UNLOADED, REQUESTS = 300, 1000
REST = 0.5
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"

Rows = Iterator[tuple[str, str]]


def serve_model() -> None:
    """Answer a POST below /<words>/ with that many pieces of text."""
    answers = {str(words): response(*spoken(pieces(words))) for words in (WORDS, DELTAS)}
    serve(lambda method, path, body: (answers[path.split("/")[1]] if method == "POST" else NOT_FOUND, False))


class Model(ModelProcess):
    """The model, with the address of one of its answers."""

    def __init__(self) -> None:
        super().__init__(__file__)
        self.words = WORDS

    @property
    def url(self) -> str:
        """The base URL of the provider with that answer."""
        return f"http://127.0.0.1:{self.port}/{self.words}/v1"


class Server(Daemon):
    """A daemon started by any command."""

    def start_thread(self) -> str:
        return str(self.call("thread/start")["thread"]["id"])

    def turn(self, thread: str) -> None:
        if (turn := self.run_turn(thread, "hello"))["status"] != "completed":
            raise SystemExit(f"a turn failed: {turn}")

    def turns(self, threads: list[str]) -> None:
        """Run a turn on each thread, all at once."""
        text = [{"type": "text", "text": "hello"}]
        ids = self.ask(*(("turn/start", {"threadId": thread, "input": text}) for thread in threads))
        for id in ids:
            if "error" in (answer := self.reply(id)):
                raise SystemExit(f"turn/start: {answer['error']}")
        running = set(threads)
        while running:
            ended = self.wait_for(lambda message: message["method"] == "turn/completed")["params"]
            if ended["turn"]["status"] != "completed":
                raise SystemExit(f"a turn failed: {ended}")
            running.discard(ended["threadId"])

    def _stats(self) -> Iterator[list[str]]:
        """The fields of /proc/<pid>/stat from the state on, for each process of the server."""
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                stat = file.read_text().rpartition(")")[2].split()
                if int(stat[3]) == self.process.pid:
                    yield stat

    def resident(self) -> float:
        """KiB in memory, at rest."""
        time.sleep(REST)
        return sum(int(stat[21]) for stat in self._stats()) * os.sysconf("SC_PAGE_SIZE") / 1024

    def processor(self) -> float:
        """Seconds of processor time used so far."""
        return sum(int(ticks) for stat in self._stats() for ticks in stat[11:15]) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, model: Model, command: list[str]) -> None:
        self.model = model
        self.command = command

    @contextlib.contextmanager
    def server(self, words: int = WORDS) -> Iterator[Server]:
        self.model.words = words
        with new_home(self.model.url) as home:
            server = Server(home, command=self.command)
            try:
                yield server
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.end()
            finally:
                if server.process.poll() is None:
                    server.kill()

    def cold_start(self) -> Rows:
        seconds, memory = [], []
        for _ in range(SPAWNS):
            began = time.perf_counter()
            with self.server() as server:
                seconds.append(time.perf_counter() - began)
                memory.append(server.resident())
        yield f"cold start to initialize, median of {SPAWNS}", f"{statistics.median(seconds) * 1000:.0f} ms"
        yield "idle RSS", f"{statistics.median(memory) / 1024:.1f} MiB"

    def thread_start(self) -> Rows:
        with self.server() as server:
            first = timed(server.start_thread)
            before = server.resident()
            seconds = [timed(server.start_thread) for _ in range(STARTS)]
            yield "the first thread/start", f"{first * 1000:.1f} ms"
            yield f"thread/start after it, {STARTS}", percentiles(seconds)
            loaded = STARTS + 1
            for count in LOADED:
                for _ in range(count - loaded):
                    server.start_thread()
                loaded = count
                yield f"RSS per loaded thread at {count}", f"{(server.resident() - before) / (count - 1):.1f} KiB"

    def one_after_another(self) -> Rows:
        with self.server() as server:
            thread = server.start_thread()
            server.turn(thread)
            before = server.processor()
            seconds = [timed(lambda: server.turn(thread)) for _ in range(TURNS)]
            used = server.processor() - before
        yield f"turns one after another, {TURNS}", percentiles(seconds)
        yield "processor time per turn", f"{used / TURNS * 1000:.1f} ms"

    def at_once(self) -> Rows:
        with self.server() as server:
            threads = [server.start_thread() for _ in range(AT_ONCE)]
            server.turns(threads)
            seconds = sum(timed(lambda: server.turns(threads)) for _ in range(ROUNDS))
        yield f"{AT_ONCE} threads at once, {ROUNDS} rounds", f"{AT_ONCE * ROUNDS / seconds:.0f} turns/s"

    def deltas(self) -> Rows:
        wanted = ("item/agentMessage/delta", "turn/completed")
        with self.server(DELTAS) as server:
            thread = server.start_thread()
            server.turn(thread)
            rates, counts = [], []
            for _ in range(REPEATS):
                deltas = 0
                began = time.perf_counter()
                server.start_turn(thread, "hello")
                while (message := server.wait_for(lambda message: message["method"] in wanted))["method"] == wanted[0]:
                    deltas += 1
                if message["params"]["turn"]["status"] != "completed":
                    raise SystemExit(f"a turn failed: {message}")
                rates.append(DELTAS / (time.perf_counter() - began))
                counts.append(deltas)
        text = f"{statistics.median(rates):.0f} deltas/s, {min(counts)} received"
        yield f"one answer of {DELTAS} deltas, median of {REPEATS}", text

    def unload(self) -> Rows:
        with self.server() as server:
            server.turn(server.start_thread())
            before = server.resident()
            threads = [server.start_thread() for _ in range(UNLOADED)]
            for thread in threads:
                server.turn(thread)
            full = server.resident()
            began = time.perf_counter()
            server.ask(*(("thread/unsubscribe", {"threadId": thread}) for thread in threads))
            loaded = set(threads)
            limit = time.monotonic() + DEADLINE
            with contextlib.suppress(queue.Empty):
                while loaded and (message := server.notifications.get(timeout=max(0, limit - time.monotonic()))):
                    if message["method"] == "thread/closed":
                        loaded.discard(message["params"]["threadId"])
            seconds = time.perf_counter() - began
            text = f"{len(loaded)} not closed in {DEADLINE:.0f} s" if loaded else f"{seconds:.2f} s"
            yield f"{UNLOADED} threads unsubscribed to the last closed", text
            kept = server.resident() - before
            yield "growth kept, of growth while loaded", f"{kept / 1024:.1f} of {(full - before) / 1024:.1f} MiB"

    def flood(self) -> Rows:
        with self.server() as server:
            server.start_thread()
            began = time.perf_counter()
            ids = server.ask(*[("thread/loaded/list", {})] * REQUESTS)
            answers: list[dict[str, Any]] = []
            with contextlib.suppress(queue.Empty):
                answers.extend(server.reply(id) for id in ids)
            seconds = time.perf_counter() - began
        refused = sum("error" in answer for answer in answers)
        text = f"{len(answers)} answered, {refused} with an error, {seconds:.2f} s"
        yield f"{REQUESTS} thread/loaded/list written at once", text


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentiles(seconds: list[float]) -> str:
    ranked = sorted(seconds)
    half, most = (ranked[math.ceil(len(ranked) * part) - 1] * 1000 for part in (0.5, 0.99))
    return f"p50 {half:.1f} ms, p99 {most:.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", metavar="COMMAND", help="another app-server to measure")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        serve_model()
    command = shlex.split(options.server) if options.server else [sys.executable, "-m", "spindle", "app-server"]
    if (found := shutil.which(command[0])) is None:
        parser.error(f"no such command: {command[0]}")
    command[0] = os.path.abspath(found)
    model = Model()
    bench = Bench(model, command)
    failed = False
    print(f"| {'measured':46} | {'figure':44} |\n|{'-' * 48}|{'-' * 46}|")
    parts = (
        bench.cold_start, bench.thread_start, bench.one_after_another, bench.at_once,
        bench.deltas, bench.unload, bench.flood,
    )  # fmt: skip
    for part in parts:
        try:
            for name, figure in part():
                print(f"| {name:46} | {figure:44} |", flush=True)
        except (SystemExit, Refused, EOFError, queue.Empty, OSError) as error:
            failed = True
            reason = f"no answer in {DEADLINE:.0f} s" if isinstance(error, queue.Empty) else str(error)
            print(f"| {part.__name__:46} | {'failed: ' + reason[:200]:44} |", flush=True)
    assert model.process.stdin is not None
    model.process.stdin.close()
    model.process.wait(DEADLINE)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
