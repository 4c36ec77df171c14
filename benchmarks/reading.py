"""Measures a very large rollout: the first resume, a second one, one after a restart, pages, the first turn, and all turns.

    python benchmarks/reading.py [--megabytes 1000] [--output BYTES] [--compact-every TURNS] [--server "COMMAND"]

Prints milliseconds, and how far the server's memory rose above what it was when idle. Reads /proc, so it needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from driving import Speaker, configure
from rollouts import write_rollout


class Server:
    """An app-server on stdio. It parses only short answers, and only counts the bytes of long ones."""

    def __init__(self, command: list[str], home: Path) -> None:
        environment = {**os.environ, "CODEX_HOME": str(home), "HOME": str(home)}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        self._id, self._rest = 0, b""
        self.call("initialize", clientInfo={"name": "b", "version": "0"}, capabilities={"experimentalApi": True})
        time.sleep(1.5)
        self.idle = self.memory()

    def memory(self, peak: bool = False) -> float:
        """Megabytes."""
        name = "VmHWM:" if peak else "VmRSS:"
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        return 0.0

    def forget_peak(self) -> None:
        """Begin a new measurement of the peak."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def call(self, method: str, **params: Any) -> tuple[Any, float, int]:
        """(result, seconds, bytes); the result is None if it was longer than 4 MB."""
        assert self.process.stdin is not None
        self._id += 1
        start = time.perf_counter()
        self.process.stdin.write(json.dumps({"id": self._id, "method": method, "params": params}).encode() + b"\n")
        while True:
            line, size = self.line()
            if line[:200].find(b'"id":%d' % self._id) < 0 and size <= len(line):
                continue  # a notification
            seconds = time.perf_counter() - start
            if size > len(line):
                return None, seconds, size
            answer = json.loads(line)
            if answer.get("id") != self._id or "method" in answer:
                continue
            if "error" in answer:
                raise SystemExit(f"{method}: {answer['error']}")
            return answer["result"], seconds, size

    def line(self) -> tuple[bytes, int]:
        """The next line, cut at 4 MB, and its length."""
        assert self.process.stdout is not None
        pieces, size = [self._rest], len(self._rest)
        while b"\n" not in pieces[-1]:
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            if not piece:
                raise SystemExit("the server has exited")
            size += len(piece)
            pieces.append(piece)
            if size > 8_000_000:
                pieces = [pieces[0], piece]
        last, _, self._rest = pieces[-1].partition(b"\n")
        size -= len(self._rest) + 1
        return b"".join([*pieces[:-1], last])[:4_000_000], size

    def turn(self, thread: str) -> float:
        """Seconds of a whole turn."""
        start = time.perf_counter()
        more = [{"type": "text", "text": "more", "text_elements": []}]
        self.call("turn/start", threadId=thread, input=more)
        while True:
            line, _ = self.line()
            if b'"turn/completed"' in line[:200]:
                return time.perf_counter() - start

    def close(self) -> None:
        """End the server."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def main() -> None:
    """Parse the options and run."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--megabytes", type=int, default=1000)
    arguments.add_argument("--output", type=int, default=4000, help="bytes of each command's output")
    arguments.add_argument("--calls", type=int, default=4, help="commands of each turn")
    arguments.add_argument("--compact-every", type=int, default=0, help="turns between two compactions")
    arguments.add_argument("--server", default=f"{sys.executable} -m spindle app-server")
    arguments.add_argument("--folder", default=None, help="where to put the rollout")
    arguments.add_argument("--no-turns", action="store_true", help="leave out reading all turns")
    options = arguments.parse_args()
    home = Path(tempfile.mkdtemp(prefix="spindle-reading-", dir=options.folder))
    try:
        measure(options, home)
    finally:
        shutil.rmtree(home)


def measure(options: argparse.Namespace, home: Path) -> None:
    """Make the home, measure the server, and print the figures."""
    configure(home, Speaker().url, "thread_unload_delay_secs = 1800")
    thread, path, turns = write_rollout(
        home,
        options.megabytes * 1_000_000,
        output=options.output,
        calls=options.calls,
        compact_every=options.compact_every,
    )
    print(f"{path.stat().st_size / 1e6:.0f} MB, {turns} turns; {options.server}", flush=True)
    command = shlex.split(options.server)

    def show(name: str, seconds: float, server: Server, size: int = 0) -> None:
        above = server.memory(peak=True) - server.idle
        size_shown = f"{size / 1e6:8.1f} MB answer" if size else ""
        print(f"  {name:34s} {seconds * 1000:9.1f} ms  {above:7.1f} MB above idle {size_shown}", flush=True)
        server.forget_peak()

    for when in ("first time", "after a restart"):
        server = Server(command, home)
        server.forget_peak()
        _, seconds, _ = server.call("thread/resume", threadId=thread, excludeTurns=True)
        show(f"resume without turns, {when}", seconds, server)
        server.call("thread/unsubscribe", threadId=thread)
        time.sleep(0.2)
        _, seconds, _ = server.call("thread/resume", threadId=thread, excludeTurns=True)
        show("resume without turns, again", seconds, server)
        for direction in ("desc", "asc"):
            for limit in (5, 25):
                page = [
                    server.call("thread/turns/list", threadId=thread, limit=limit, sortDirection=direction)
                    for _ in range(3)
                ]
                show(f"{limit} turns, {direction}", min(seconds for _, seconds, _ in page), server, page[-1][2])
        if when == "first time":
            show("first turn", server.turn(thread), server)
            show("second turn", server.turn(thread), server)
        elif not options.no_turns:
            _, seconds, size = server.call("thread/read", threadId=thread, includeTurns=True)
            show("read with all turns", seconds, server, size)
        server.close()


if __name__ == "__main__":
    main()
