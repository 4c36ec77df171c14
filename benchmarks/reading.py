"""Measures a very large rollout: the first resume, a second one, one after a restart, pages, the first turn, and all turns.

    python benchmarks/reading.py [--megabytes 1000] [--output BYTES] [--server COMMAND] [--against COMMAND]

Shows milliseconds, and how far the server's memory rose above what it was when idle. Reads /proc, so it needs Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from driving import Speaker, new_home
from driving.comparing import Command, Figure, arguments, compare
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


@contextlib.contextmanager
def started(command: Command, home: str) -> Iterator[Server]:
    """A server for the block."""
    server = Server(command, Path(home))
    try:
        yield server
        server.close()
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


class Bench:
    def __init__(self, url: str, filled: Path, thread: str, *, all_turns: bool) -> None:
        self.url, self.filled, self.thread, self.all_turns = url, filled, thread, all_turns

    def reading(self, command: Command) -> Iterator[Figure]:
        with new_home(self.url, "thread_unload_delay_secs = 1800") as home:
            shutil.copytree(self.filled, home, dirs_exist_ok=True)
            for when in ("first time", "after a restart"):
                with started(command, home) as server:
                    server.forget_peak()
                    yield from self.resume(server, f"resume without turns, {when}")
                    server.call("thread/unsubscribe", threadId=self.thread)
                    time.sleep(0.2)
                    yield from self.resume(server, f"resume without turns, again, {when}")
                    for direction in ("desc", "asc"):
                        for limit in (5, 25):
                            yield from self.page(server, limit, direction, when)
                    if when == "first time":
                        for which in ("first", "second"):
                            yield from measured(f"{which} turn", server.turn(self.thread), server)
                    elif self.all_turns:
                        _, seconds, size = server.call("thread/read", threadId=self.thread, includeTurns=True)
                        yield from measured("read with all turns", seconds, server, size)

    def resume(self, server: Server, name: str) -> Iterator[Figure]:
        _, seconds, _ = server.call("thread/resume", threadId=self.thread, excludeTurns=True)
        yield from measured(name, seconds, server)

    def page(self, server: Server, limit: int, direction: str, when: str) -> Iterator[Figure]:
        pages = [
            server.call("thread/turns/list", threadId=self.thread, limit=limit, sortDirection=direction)
            for _ in range(3)
        ]
        yield from measured(
            f"{limit} turns, {direction}, {when}", min(seconds for _, seconds, _ in pages), server, pages[-1][2]
        )


def measured(name: str, seconds: float, server: Server, size: int = 0) -> Iterator[Figure]:
    """The time, the memory that it took, and the size of the answer if it has one."""
    yield Figure(name, seconds * 1000, "ms")
    yield Figure(f"{name}: above idle", server.memory(peak=True) - server.idle, "MB")
    if size:
        yield Figure(f"{name}: answer", size / 1e6, "MB")
    server.forget_peak()


def main() -> int:
    """Parse the options and run."""
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--output", type=int, default=4000, help="bytes of each command's output")
    parser.add_argument("--calls", type=int, default=4, help="commands of each turn")
    parser.add_argument("--compact-every", type=int, default=0, help="turns between two compactions")
    parser.add_argument("--folder", default=None, help="where to put the rollout")
    parser.add_argument("--no-turns", action="store_true", help="leave out reading all turns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spindle-reading-", dir=options.folder) as folder:
        thread, path, turns = write_rollout(
            Path(folder),
            options.megabytes * 1_000_000,
            output=options.output,
            calls=options.calls,
            compact_every=options.compact_every,
            provider="scripted",
        )
        print(f"{path.stat().st_size / 1e6:.0f} MB, {turns} turns", flush=True)
        bench = Bench(Speaker().url, Path(folder), thread, all_turns=not options.no_turns)
        return compare([bench.reading], options)


if __name__ == "__main__":
    sys.exit(main())
