"""Many WebSocket clients, each subscribed to some of many threads, with turns on all threads at once.

Checks that every client gets every event of its threads in order and none of others, and that a client which stops reading is
closed. Prints how long a turn takes until each of its subscribers has `turn/completed`: with all clients reading, and with one
that does not. Exits with 1 if an event was missing, came twice, in another order or to another client.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from driving import DEADLINE, ModelProcess, configure, pieces, response, serve, spoken
from driving.following import Follower, differences
from driving.websocket import SocketClient

PIECES = 20


def follow(path: str, clients: int, threads: int, each: int, rounds: int, *, stalled: bool) -> list[str]:
    """Run the turns; print the times, and return what was wrong."""
    owner = SocketClient(path)
    ids = [str(owner.call("thread/start")["thread"]["id"]) for _ in range(threads)]
    for id in ids:
        owner.run_turn(id)
    followers = [Follower(path, {ids[(number + at * 7) % threads] for at in range(each)}) for number in range(clients)]
    if stalled:
        silent = SocketClient(path)  # it reads nothing after this
        for id in ids[:each]:
            silent.call("thread/resume", threadId=id)
    took: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        for id in ids:
            owner.call("turn/start", threadId=id, input=[{"type": "text", "text": "hello"}])
        for follower in followers:
            took += [at - began for at in follower.completed(DEADLINE)]
    cut = statistics.quantiles(took, n=100)
    print(
        f"{clients} clients, {threads} threads, {rounds} rounds{', and one that does not read' if stalled else ''}: "
        f"p50 {cut[49] * 1000:.0f}   p99 {cut[98] * 1000:.0f}   max {max(took) * 1000:.0f} ms   ({len(took)})",
        flush=True,
    )
    for follower in followers:
        follower.close()
    owner.wire.close()
    return differences(followers, rounds)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--clients", type=int, default=200)
    options.add_argument("--threads", type=int, default=50)
    options.add_argument("--each", type=int, default=5)
    options.add_argument("--rounds", type=int, default=4)
    given = options.parse_args()
    if given.model:
        plain = response(*spoken(pieces(PIECES)))
        serve(lambda method, path, body: (plain, False))
        return 0
    wrong: list[str] = []
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
            for stalled in (False, True):
                wrong += follow(path, given.clients, given.threads, given.each, given.rounds, stalled=stalled)
        finally:
            server.kill()
            server.wait(DEADLINE)
    for text in wrong[:20]:
        print(f"  {text}")
    print(f"{len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
