"""Measures lists of many threads: first pages, all pages, searches, and indexing. `--server` measures others.

    python benchmarks/listing.py [--threads N] [--server COMMAND] [--template COMMAND]

The home's rollouts are copies of one that a server has written: Spindle, or `--template`. Everything is measured as a
client sees it, over standard input and output.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import statistics
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from driving import Daemon, Speaker, new_home

MARK = "PROMPT-MARK"
DAYS = 100
REPEATS = 9
PAGE = 100


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


def timed(daemon: Daemon, **params: Any) -> tuple[dict[str, Any], float]:
    """The answer of `thread/list`, and its time in milliseconds."""
    began = time.perf_counter()
    answer = daemon.call("thread/list", **params)
    return answer, (time.perf_counter() - began) * 1000


def often(daemon: Daemon, **params: Any) -> str:
    times = [timed(daemon, **params)[1] for _ in range(REPEATS)]
    return f"{statistics.median(times):8.1f} ms   (at most {max(times):.1f})"


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


def percentiles(times: list[float]) -> str:
    ordered = sorted(times)
    return f"p50 {ordered[len(ordered) // 2]:.1f} ms, p99 {ordered[int(len(ordered) * 0.99)]:.1f} ms of {len(times)}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--threads", type=int, default=5000)
    options.add_argument("--server", help="the command of another app-server")
    options.add_argument("--template", help="the command of the app-server whose rollouts are copied")
    chosen = options.parse_args()
    command = shlex.split(chosen.server) if chosen.server else None
    text = template(shlex.split(chosen.template) if chosen.template else command)
    with new_home(Speaker().url) as folder:
        home = Path(folder)
        fill(home, text, chosen.threads)
        print(f"{chosen.threads} rollouts of {len(text)} bytes")
        daemon = Daemon(folder, command=command)
        print(f"first page, cold              {timed(daemon)[1]:8.1f} ms")
        count, seconds = page_through(daemon)
        print(f"all pages, cold               {seconds:8.2f} s    {count} threads")
        time.sleep(2 + chosen.threads / 5000)
        print(f"first page, warm              {often(daemon)}")
        print(f"first page by change          {often(daemon, sortKey='updated_at')}")
        count, seconds = page_through(daemon)
        print(f"all pages, warm               {seconds:8.2f} s    {count} threads")
        print(f"search, one hit               {often(daemon, searchTerm=f'Task {chosen.threads // 3:05}')}")
        print(f"search, no hit                {often(daemon, searchTerm='no such title')}")
        print(f"search, all hit               {often(daemon, searchTerm='please')}")
        print(f"no thread of that directory   {often(daemon, cwd='/nowhere')}")
        daemon.end()
        daemon = Daemon(folder, command=command)
        print(f"first page, just restarted    {timed(daemon)[1]:8.1f} ms")
        daemon.end()
        daemon = Daemon(folder, command=command)
        time.sleep(1)
        print(f"first page, a second later    {timed(daemon)[1]:8.1f} ms")
        daemon.end()
        if command is None:
            interference(folder)


def interference(folder: str) -> None:
    """Measures turns while the index is built again and again."""
    daemon = Daemon(folder)
    print(f"turns                         {percentiles(turns(daemon, 5))}")
    daemon.end()
    shutil.rmtree(Path(folder, "spindle"))
    daemon = Daemon(folder)
    done = threading.Event()

    def again() -> None:
        while not done.is_set():
            daemon.call("thread/list", limit=1, searchTerm="no such title")  # answered when the index is complete
            rounds.append(time.perf_counter())
            with tempfile.TemporaryDirectory() as aside:
                shutil.move(Path(folder, "spindle"), aside)
            time.sleep(0.01)

    rounds = [time.perf_counter()]
    asking = threading.Thread(target=again)
    asking.start()
    print(f"turns, while indexing         {percentiles(turns(daemon, 5))}")
    done.set()
    asking.join()
    print(f"indexings from nothing        {len(rounds) - 1}, {(rounds[-1] - rounds[0]) / (len(rounds) - 1):.1f} s each")
    daemon.end()


if __name__ == "__main__":
    main()
