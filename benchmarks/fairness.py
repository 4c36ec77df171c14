"""Measures the turns of a quiet client while other clients flood the daemon with requests.

The quiet client runs turn after turn, in rounds without and with a flood, one after the other, so that whatever else the
machine does meets both. Each flooding client keeps 10,000 requests on their way, in a process of its own. Prints the latency of
a turn (from its request to `turn/completed`) and of a request that the registry answers, and what the flood was answered.

`--only KIND` measures one kind of flood, `--clients N` with that many flooding clients.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from driving import DEADLINE, Json, ModelProcess, configure, pieces, response, serve, spoken
from driving.websocket import SocketClient

ROUNDS, SECONDS = 2, 4.0
ON_THEIR_WAY = 10_000
OWN = 4
TEXT = [{"type": "text", "text": "hello"}]
FLOODS: dict[str, tuple[str, Json]] = {
    "loaded": ("thread/loaded/list", {}),
    "list": ("thread/list", {}),
    "read": ("thread/read", {"includeTurns": True}),
    "turns": ("turn/start", {"input": TEXT}),
    "config": ("config/read", {"includeLayers": True}),
}
"""The requests of each kind; those with a thread go to threads of the flooding client. `mixed` are all of them."""


def flood(path: str, kind: str) -> None:
    """Flood between the lines `go` and `stop` of standard input. Prints what was answered."""
    client = SocketClient(path)
    threads = [client.call("thread/start")["thread"]["id"] for _ in range(OWN)]
    for thread in threads:
        client.run_turn(thread)
    requests = list(FLOODS.values()) if kind == "mixed" else [FLOODS[kind]]
    texts = [
        json.dumps({"method": method, "params": {"threadId": thread, **params}})[1:].encode()
        for thread in threads
        for method, params in requests
    ]
    room = threading.Semaphore(ON_THEIR_WAY)
    flooding = threading.Event()
    answered: Counter[str] = Counter()

    def read() -> None:
        for message in client.wire.read():
            if b'"method":' not in message:
                answered[str(json.loads(message).get("error", {}).get("code", "results"))] += 1
                room.release()

    def write() -> None:
        number = 1000
        while flooding.wait():
            room.acquire()
            batch = []
            for _ in range(50):
                number += 1
                batch.append(b'{"id":%d,%b' % (number, texts[number % len(texts)]))
            for _ in batch[1:]:
                room.acquire()
            client.wire.write(batch)

    for work in (read, write):
        threading.Thread(target=work, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "go\n":
            flooding.set()
        else:
            flooding.clear()
            print(json.dumps(answered), flush=True)
    os._exit(0)


class Flooder:
    """A flooding client."""

    def __init__(self, path: str, kind: str) -> None:
        pipe = subprocess.PIPE
        argv = [sys.executable, __file__, "--flood", path, "--only", kind]
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        self.said()

    def say(self, word: str) -> None:
        """Begin or end to flood."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def said(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def percentiles(latencies: list[float]) -> str:
    """Median, 99th percentile and maximum in ms."""
    cut = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 99
    return f"p50 {cut[49] * 1000:7.1f}   p99 {cut[98] * 1000:7.1f}   max {max(latencies) * 1000:7.1f} ms   ({len(latencies)})"


def timed(turns: list[float], answers: list[float], client: SocketClient, thread: str) -> None:
    """Run turns and requests for `SECONDS`."""
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        client.run_turn(thread)
        turns.append(time.perf_counter() - began)
        began = time.perf_counter()
        client.call("thread/loaded/list")
        answers.append(time.perf_counter() - began)


def measure(path: str, kind: str, clients: int) -> None:
    """Measure one kind of flood."""
    flooders = [Flooder(path, kind) for _ in range(clients)]
    quiet = SocketClient(path)
    thread = quiet.call("thread/start")["thread"]["id"]
    quiet.run_turn(thread)
    turns: dict[bool, list[float]] = {False: [], True: []}
    answers: dict[bool, list[float]] = {False: [], True: []}
    answered: Counter[str] = Counter()
    for number in range(2 * ROUNDS):
        flooded = bool(number % 2)
        for flooder in flooders:
            flooder.say("go" if flooded else "stop")
        if not flooded:
            answered = sum((Counter(json.loads(flooder.said())) for flooder in flooders), Counter())
            time.sleep(2)  # what is on its way
        else:
            time.sleep(0.5)
        timed(turns[flooded], answers[flooded], quiet, thread)
    print(f"{kind}, {clients} flooding; answered: {dict(answered)}")
    for flooded in (False, True):
        print(f"  {'flooded' if flooded else 'alone  '} turn    {percentiles(turns[flooded])}")
        print(f"  {'flooded' if flooded else 'alone  '} request {percentiles(answers[flooded])}", flush=True)
    for flooder in flooders:
        flooder.end()
    quiet.wire.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--flood", help=argparse.SUPPRESS)
    options.add_argument("--only", choices=[*FLOODS, "mixed"])
    options.add_argument("--clients", type=int, default=1)
    given = options.parse_args()
    if given.model:
        plain = response(*spoken(pieces(4)))
        serve(lambda method, path, body: (plain, False))
    elif given.flood:
        flood(given.flood, given.only)
    else:
        with tempfile.TemporaryDirectory(prefix="spindle-benchmark-") as home, ModelProcess(__file__) as model:
            configure(Path(home), model.url)
            path = f"{home}/s"
            server = subprocess.Popen(
                [sys.executable, "-m", "spindle", "app-server", "--listen", f"unix://{path}"],
                env={**os.environ, "CODEX_HOME": home, "HOME": home},
                cwd=home,
                stderr=subprocess.PIPE,
            )
            assert server.stderr is not None
            server.stderr.readline()
            threading.Thread(target=server.stderr.read, daemon=True).start()
            try:
                for kind in [given.only] if given.only else [*FLOODS, "mixed"]:
                    measure(path, kind, given.clients)
            finally:
                server.kill()
                server.wait(DEADLINE)


if __name__ == "__main__":
    main()
