"""Measures other threads' turns, and the memory, while the command of one thread prints 50 MB.

Other threads run turn after turn, in rounds without and with the flood, one after the other, so that whatever else the
machine does meets both. Everything goes over one connection, so answers and the flood share it. Prints the latency of a
turn (from its request to `turn/completed`), the memory of the daemon above what it has when idle, and what of the output
was shown, kept and sent to the model. Needs Linux for /proc.

`--server COMMAND` measures another app-server the same way.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import statistics
import sys
import threading
import time
from pathlib import Path

from driving import (
    DEADLINE,
    Daemon,
    ModelProcess,
    completed,
    created,
    item_done,
    new_home,
    pieces,
    response,
    serve,
    spoken,
)

FLOOD, OTHERS, ROUNDS = 50_000_000, 4, 8
LINE = "0123456789" * 6


def flooding() -> bytes:
    """The answer of the model that calls the command."""
    arguments = {"cmd": f"yes {LINE} | head -c {FLOOD}", "login": False, "yield_time_ms": 30_000}
    call = item_done(type="function_call", call_id="c", name="exec_command", arguments=json.dumps(arguments))
    return response(created(), call, completed())


def serve_model() -> None:
    """Call the command if the last message is the user's "flood"; otherwise answer with a short text."""
    plain = response(*spoken(pieces(4)))
    flood = flooding()

    def answer(method: str, path: str, body: bytes) -> tuple[bytes, bool]:
        last = json.loads(body)["input"][-1] if b'"flood"' in body else {}
        if output := last.get("output"):
            sys.stderr.write(f"told {len(output)}\n")
            sys.stderr.flush()
        asked = last.get("role") == "user" and last["content"][-1].get("text") == "flood"
        return flood if asked else plain, False

    serve(answer)


class Model(ModelProcess):
    """The model. `output_size`: the characters of the command's output in the last request."""

    def __init__(self) -> None:
        super().__init__(__file__)
        self.output_size = 0
        threading.Thread(target=self._read_sizes, daemon=True).start()

    def _read_sizes(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.output_size = int(line.split()[-1])


class Client:
    """Runs turns on several threads at once, and records when each completed and how much of the flood was shown."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.threads = [self._thread() for _ in range(OTHERS)]
        self.flooded = self._thread()
        self.shown = self.pieces = self.kept = 0
        self._began: dict[str, float] = {}

    def _thread(self) -> str:
        return str(self.daemon.call("thread/start", sandbox="danger-full-access")["thread"]["id"])

    def _start(self, thread: str, text: str) -> None:
        self._began[thread] = time.perf_counter()
        self.daemon.ask(("turn/start", {"threadId": thread, "input": [{"type": "text", "text": text}]}))

    def round(self, seconds: float | None) -> tuple[list[float], float]:
        """Run turns for `seconds`, or while a flood lasts; returns their latencies and the duration."""
        latencies: list[float] = []
        running = set(self.threads)
        began = time.perf_counter()
        flooding = seconds is None
        took = 0.0
        if flooding:
            self.shown = self.pieces = 0
            self._start(self.flooded, "flood")
            running.add(self.flooded)
        for thread in self.threads:
            self._start(thread, "hello")
        while running:
            message = self.daemon.notifications.get(timeout=DEADLINE)
            assert message is not None, "the daemon is gone"
            params = message["params"]
            if message["method"] == "item/commandExecution/outputDelta":
                self.shown += len(params["delta"])
                self.pieces += 1
            elif message["method"] == "item/completed" and params["item"]["type"] == "commandExecution":
                self.kept = len(params["item"]["aggregatedOutput"])
                flooding = False
                took = time.perf_counter() - began
            elif message["method"] == "turn/completed" and (thread := params["threadId"]) == self.flooded:
                running.discard(thread)
            elif message["method"] == "turn/completed" and thread in running:
                latencies.append(time.perf_counter() - self._began[thread])
                if flooding or (seconds is not None and time.perf_counter() - began < seconds):
                    self._start(thread, "hello")
                else:
                    running.discard(thread)
        return latencies, took or time.perf_counter() - began


class Memory:
    """The highest memory of a process, in KiB."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self.most = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        found = re.search(r"VmRSS:\s+(\d+)", self._status.read_text())
        return int(found[1]) if found else 0

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.most = max(self.most, self.now())
                time.sleep(0.005)


def shown(latencies: list[float]) -> str:
    ordered = sorted(latencies)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"p50 {p50 * 1000:6.1f} ms   p99 {p99 * 1000:6.1f} ms   of {len(ordered)} turns"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", help="another app-server")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        serve_model()
        return
    model = Model()
    with new_home(model.url) as home:
        daemon = Daemon(home, command=shlex.split(options.server) if options.server else None)
        client = Client(daemon)
        client.round(0.5)
        memory = Memory(daemon.process.pid)
        alone: list[float] = []
        during: list[float] = []
        times: list[float] = []
        grown: list[int] = []
        for _ in range(options.rounds):
            memory.most = idle = memory.now()  # the conversations grow from round to round
            latencies, took = client.round(None)
            grown.append(memory.most - idle)
            during += latencies
            times.append(took)
            alone += client.round(took)[0]
        print(f"turns of {OTHERS} threads alone      {shown(alone)}")
        print(f"while {FLOOD // 1_000_000} MB are printed     {shown(during)}")
        seconds = statistics.median(times)
        print(
            f"the command                  {seconds:6.2f} s, shown {client.shown / 1e6:.1f} MB in {client.pieces} pieces"
        )
        print(f"memory above idle            {max(grown) / 1024:6.1f} MiB at most")
        print(f"characters kept in the item: {client.kept}, sent to the model: {model.output_size}")
        daemon.end()


if __name__ == "__main__":
    main()
