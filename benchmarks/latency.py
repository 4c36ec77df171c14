"""Measures times, memory and processor time of an app-server, as a table. `--against COMMAND` compares it with another one.

Each figure has its own daemon and home. The model is another process that only sends prepared bytes.
Memory and processor time are those of all processes of the server. Needs Linux for /proc. Cold starts are in first_second.py.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import queue
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from driving import Daemon, ModelProcess, new_home, pieces, response, running, serve, spoken
from driving.comparing import Command, Figure, arguments, compare
from driving.processes import processor, resident, settle

STARTS, LOADED, TURNS = 200, (500, 2000), 100
AT_ONCE, ROUNDS, WORDS, DELTAS, REPEATS = 64, 10, 4, 5000, 3
UNLOADED, REQUESTS = 300, 1000
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


def serve_model() -> None:
    """Answer a POST below /<words>/ with that many pieces of text."""
    answers = {str(words): response(*spoken(pieces(words))) for words in (WORDS, DELTAS)}
    serve(lambda method, path, body: (answers[path.split("/")[1]] if method == "POST" else NOT_FOUND, False))


class Bench:
    def __init__(self, port: int) -> None:
        self.port = port

    @contextlib.contextmanager
    def server(self, command: Command, words: int = WORDS, more: str = "") -> Iterator[Daemon]:
        """A server in a home of its own, whose model answers with so many pieces."""
        url = f"http://127.0.0.1:{self.port}/{words}/v1"
        with new_home(url, more) as home, running(home, command) as (daemon, _):
            yield daemon

    def idle(self, command: Command) -> Iterator[Figure]:
        with self.server(command) as server:
            yield Figure("idle RSS", at_rest(server), "MiB")

    def thread_start(self, command: Command) -> Iterator[Figure]:
        with self.server(command) as server:
            first = timed(server.start_thread)
            before = at_rest(server)
            yield Figure("the first thread/start", first * 1000, "ms")
            yield from percentiles(
                f"thread/start after it, {STARTS}", [timed(server.start_thread) for _ in range(STARTS)]
            )
            loaded = STARTS + 1
            for count in LOADED:
                for _ in range(count - loaded):
                    server.start_thread()
                loaded = count
                yield Figure(
                    f"RSS per loaded thread at {count}", (at_rest(server) - before) * 1024 / (count - 1), "KiB"
                )

    def one_after_another(self, command: Command) -> Iterator[Figure]:
        with self.server(command) as server:
            threads = [server.start_thread()]
            server.run_turns(threads)
            before = processor(server.process.pid)
            seconds = [timed(lambda: server.run_turns(threads)) for _ in range(TURNS)]
            used = processor(server.process.pid) - before
        yield from percentiles(f"turns one after another, {TURNS}", seconds)
        yield Figure("processor time per turn", used / TURNS * 1000, "ms")

    def at_once(self, command: Command) -> Iterator[Figure]:
        with self.server(command) as server:
            threads = [server.start_thread() for _ in range(AT_ONCE)]
            server.run_turns(threads)
            seconds = sum(timed(lambda: server.run_turns(threads)) for _ in range(ROUNDS))
        yield Figure(f"{AT_ONCE} threads at once, {ROUNDS} rounds", AT_ONCE * ROUNDS / seconds, "turns/s")

    def deltas(self, command: Command) -> Iterator[Figure]:
        wanted = ("item/agentMessage/delta", "turn/completed")
        with self.server(command, DELTAS) as server:
            thread = server.start_thread()
            server.run_turns([thread])
            for _ in range(REPEATS):
                deltas = 0
                began = time.perf_counter()
                server.start_turn(thread, "hello")
                while (message := server.wait_for(lambda message: message["method"] in wanted))["method"] == wanted[0]:
                    deltas += 1
                if message["params"]["turn"]["status"] != "completed":
                    raise SystemExit(f"a turn failed: {message}")
                yield Figure(f"one answer of {DELTAS} deltas", DELTAS / (time.perf_counter() - began), "deltas/s")
                yield Figure(f"one answer of {DELTAS} deltas, notifications received", deltas, "")

    def unload(self, command: Command) -> Iterator[Figure]:
        with self.server(command, more="thread_unload_delay_secs = 0") as server:
            server.run_turns([server.start_thread()])
            before = at_rest(server)
            threads = [server.start_thread() for _ in range(UNLOADED)]
            for thread in threads:
                server.run_turns([thread])
            full = at_rest(server)
            seconds = timed(lambda: server.close_threads(threads, at_once=UNLOADED))
            yield Figure(f"{UNLOADED} threads unsubscribed to the last closed", seconds, "s")
            yield Figure(f"RSS that {UNLOADED} threads take", full - before, "MiB")
            yield Figure("RSS that they leave", at_rest(server) - before, "MiB")

    def flood(self, command: Command) -> Iterator[Figure]:
        with self.server(command) as server:
            server.start_thread()
            began = time.perf_counter()
            ids = server.ask(*[("thread/loaded/list", {})] * REQUESTS)
            answers: list[dict[str, Any]] = []
            with contextlib.suppress(queue.Empty):
                answers.extend(server.reply(id) for id in ids)
            seconds = time.perf_counter() - began
        what = f"{REQUESTS} thread/loaded/list written at once"
        yield Figure(what, seconds, "s")
        yield Figure(f"{what}, answered", len(answers), "")
        yield Figure(f"{what}, answered with an error", sum("error" in answer for answer in answers), "")


def at_rest(server: Daemon) -> float:
    """MiB in memory when the server is idle."""
    settle(server.process.pid)
    return resident(server.process.pid)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentiles(name: str, seconds: list[float]) -> Iterator[Figure]:
    ranked = sorted(seconds)
    for percent in (50, 99):
        yield Figure(f"{name}, p{percent}", ranked[math.ceil(len(ranked) * percent / 100) - 1] * 1000, "ms")


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        serve_model()
    with ModelProcess(__file__) as model:
        bench = Bench(model.port)
        parts = (
            bench.idle, bench.thread_start, bench.one_after_another, bench.at_once,
            bench.deltas, bench.unload, bench.flood,
        )  # fmt: skip
        return compare(parts, options)


if __name__ == "__main__":
    sys.exit(main())
