"""Measures lists of many threads: first pages, all pages, searches, and indexing.

    python benchmarks/listing.py [--threads N] [--server COMMAND] [--against COMMAND] [--template COMMAND]

The home's rollouts are copies of one that a server has written: Spindle, or `--template`. Everything is measured as a
client sees it, over standard input and output. Turns beside the indexing are measured for Spindle alone.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shlex
import shutil
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from driving import Daemon, Speaker, new_home, running
from driving.comparing import Command, Figure, arguments, compare

MARK = "PROMPT-MARK"
DAYS = 100
REPEATS = 9
PAGE = 100
SECONDS = 5


def template(command: list[str] | None) -> str:
    """The text of a rollout of one turn."""
    with new_home(Speaker().url) as home:
        daemon = Daemon(home, command=command)
        thread = daemon.call("thread/start")["thread"]
        daemon.run_turn(thread["id"], MARK)
        text = Path(thread["path"]).read_text(encoding="utf-8")
        daemon.end()
    return text.replace(thread["id"], "THREAD-ID")


def fill(home: Path, text: str, count: int) -> None:
    """Write `count` rollouts, spread over the last hundred days."""
    dice, now = random.Random(7), time.time()
    parts = re.split(r"(THREAD-ID|PROMPT-MARK|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)", text)
    for number in range(count):
        at = now - 3600 - (count - number) * DAYS * 86400 / count
        moment = datetime.fromtimestamp(at, UTC)
        id = str(uuid.UUID(int=int(at * 1000) << 80 | 7 << 76 | dice.getrandbits(12) << 64 | 2 << 62 | dice.getrandbits(62)))
        put = {"THREAD-ID": id, "PROMPT-MARK": f"Task {number:05} please"}
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S.000Z}"
        body = "".join(put.get(part, stamp) if i % 2 else part for i, part in enumerate(parts))
        path = home / "sessions" / f"{moment:%Y/%m/%d}" / f"rollout-{moment:%Y-%m-%dT%H-%M-%S}-{id}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")
        os.utime(path, (at, at))


def timed(daemon: Daemon, **params: Any) -> float:
    """The time of `thread/list` in milliseconds."""
    began = time.perf_counter()
    daemon.call("thread/list", **params)
    return (time.perf_counter() - began) * 1000


def often(name: str, daemon: Daemon, **params: Any) -> Iterator[Figure]:
    times = [timed(daemon, **params) for _ in range(REPEATS)]
    yield Figure(name, statistics.median(times), "ms")
    yield Figure(f"{name}, slowest of {REPEATS}", max(times), "ms")


def page_through(daemon: Daemon) -> tuple[int, float]:
    """The number of different threads on all pages, and the time in seconds."""
    ids: set[str] = set()
    cursor, began = None, time.perf_counter()
    while True:
        page = daemon.call("thread/list", cursor=cursor, limit=PAGE)
        ids.update(thread["id"] for thread in page["data"])
        cursor = page["nextCursor"]
        if not cursor:
            return len(ids), time.perf_counter() - began


def turns(daemon: Daemon, seconds: float) -> list[float]:
    """The times of turns, one after the other, in milliseconds."""
    thread, times, end = daemon.call("thread/start")["thread"]["id"], [], time.perf_counter() + seconds
    for _ in range(5):
        daemon.run_turn(thread, "warm")
    while time.perf_counter() < end:
        began = time.perf_counter()
        daemon.run_turn(thread, "go on")
        times.append((time.perf_counter() - began) * 1000)
    return times


class Bench:
    def __init__(self, url: str, filled: Path, threads: int) -> None:
        self.url, self.filled, self.threads = url, filled, threads

    def lists(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url) as home:
            shutil.copytree(self.filled, home, dirs_exist_ok=True)
            with running(home, command) as (daemon, _):
                yield Figure("first page, cold", timed(daemon), "ms")
                yield from all_pages("cold", daemon)
                time.sleep(2 + self.threads / 5000)
                yield from often("first page, warm", daemon)
                yield from often("first page by change", daemon, sortKey="updated_at")
                yield from all_pages("warm", daemon)
                yield from often("search, one hit", daemon, searchTerm=f"Task {self.threads // 3:05}")
                yield from often("search, no hit", daemon, searchTerm="no such title")
                yield from often("search, all hit", daemon, searchTerm="please")
                yield from often("no thread of that directory", daemon, cwd="/nowhere")
            for when, pause in (("just restarted", 0), ("a second after a restart", 1)):
                with running(home, command) as (daemon, _):
                    time.sleep(pause)
                    yield Figure(f"first page, {when}", timed(daemon), "ms")

    def indexing(self, command: Command) -> Iterator[Figure]:
        """Turns while the index is built again and again."""
        with new_home(self.url) as home:
            shutil.copytree(self.filled, home, dirs_exist_ok=True)
            with running(home, command) as (daemon, _):
                yield from percentiles("turns", turns(daemon, SECONDS))
            shutil.rmtree(Path(home, "spindle"))
            with running(home, command) as (daemon, _), again_and_again(daemon, Path(home, "spindle")) as rounds:
                yield from percentiles("turns, while indexing", turns(daemon, SECONDS))
            yield Figure("indexing from nothing", (rounds[-1] - rounds[0]) / (len(rounds) - 1), "s")


def all_pages(when: str, daemon: Daemon) -> Iterator[Figure]:
    count, seconds = page_through(daemon)
    yield Figure(f"all pages, {when}", seconds, "s")
    yield Figure(f"threads on all pages, {when}", count, "")


def percentiles(name: str, times: list[float]) -> Iterator[Figure]:
    ordered = sorted(times)
    yield Figure(f"{name}, p50", ordered[len(ordered) // 2], "ms")
    yield Figure(f"{name}, p99", ordered[int(len(ordered) * 0.99)], "ms")


@contextlib.contextmanager
def again_and_again(daemon: Daemon, index: Path) -> Iterator[list[float]]:
    """Remove the index whenever it is complete; yields the times at which it was."""
    done, rounds = threading.Event(), [time.perf_counter()]

    def again() -> None:
        while not done.is_set():
            daemon.call("thread/list", limit=1, searchTerm="no such title")  # answered when the index is complete
            rounds.append(time.perf_counter())
            with tempfile.TemporaryDirectory() as aside:
                shutil.move(index, aside)
            time.sleep(0.01)

    asking = threading.Thread(target=again)
    asking.start()
    try:
        yield rounds
    finally:
        done.set()
        asking.join()


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--threads", type=int, default=5000)
    parser.add_argument("--template", help="the command of the app-server whose rollouts are copied")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spindle-benchmark-") as folder:
        fill(Path(folder), template(shlex.split(chosen.template) if chosen.template else None), chosen.threads)
        bench = Bench(Speaker().url, Path(folder), chosen.threads)
        return compare([bench.lists] if chosen.server or chosen.against else [bench.lists, bench.indexing], chosen)


if __name__ == "__main__":
    sys.exit(main())
