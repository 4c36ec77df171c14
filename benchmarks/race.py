"""Writes unsubscribe and resume together, a thousand times. Each resume must get a live thread.

Half of the rounds are written in one piece, half as two messages right after each other.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from driving import Daemon, Speaker, new_home

ROUNDS = 1000


def main() -> int:
    with new_home(Speaker().url) as home:
        daemon = Daemon(home)
        thread = daemon.call("thread/start")["thread"]["id"]
        daemon.run_turn(thread, "before")
        leave, back = ("thread/unsubscribe", {"threadId": thread}), ("thread/resume", {"threadId": thread})
        failures: Counter[str] = Counter()
        began = time.perf_counter()
        for number in range(ROUNDS):
            ids = daemon.ask(leave, back) if number % 2 else [*daemon.ask(leave), *daemon.ask(back)]
            left, resumed = (daemon.reply(id) for id in ids)
            if left.get("result", {}).get("status") != "unsubscribed":
                failures[f"unsubscribe: {left}"] += 1
            if resumed.get("result", {}).get("thread", {}).get("id") != thread:
                failures[f"resume: {resumed}"] += 1
        seconds = time.perf_counter() - began
        alive = daemon.run_turn(thread, "after")["status"] == "completed"
        turns = len(daemon.call("thread/read", threadId=thread, includeTurns=True)["thread"]["turns"])
        code = daemon.end()
    failed = sum(failures.values())
    print(f"{ROUNDS} rounds in {seconds:.2f} s, {failed} failed; the thread lives: {alive}, {turns} turns; exit {code}")
    for text, count in failures.most_common(5):
        print(f"  {count} x {text[:200]}")
    return 0 if alive and not failures and turns == 2 and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
