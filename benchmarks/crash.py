"""Kills the daemon (kill -9) in the middle of streamed turns on eight threads, twenty times on one home.

Each time the next daemon must show every turn that was ever said to be completed, with its text, and every thread must
run another turn.
"""

from __future__ import annotations

import random
import sys
import time

from driving import Daemon, Speaker, new_home

THREADS, KILLS, WORDS = 8, 20, 40


def run_until_killed(daemon: Daemon, threads: list[str], after: int, completed: set[str]) -> int:
    """Keep every thread busy and kill the daemon at delta number `after`; returns the number of running turns."""
    running: dict[str, str] = {thread: daemon.start_turn(thread, "question") for thread in threads}
    for _ in range(after):
        message = daemon.wait_for(lambda message: message["method"] in ("turn/completed", "item/agentMessage/delta"))
        if message["method"] == "turn/completed":
            note(message, completed)
            thread = message["params"]["threadId"]
            running[thread] = daemon.start_turn(thread, "question")
    daemon.kill()
    while (late := daemon.notifications.get()) is not None:
        if late["method"] == "turn/completed":
            note(late, completed)
    return sum(turn not in completed for turn in running.values())


def note(message: dict[str, object], completed: set[str]) -> None:
    turn = message["params"]["turn"]  # type: ignore[index]
    if turn["status"] != "completed":
        raise SystemExit(f"a turn was not completed: {turn}")
    completed.add(turn["id"])


def main() -> int:
    endpoint = Speaker(WORDS)
    chance = random.Random(1)
    completed: set[str] = set()
    lost = wrong = unresumed = cut = 0
    began = time.perf_counter()
    with new_home(endpoint.url) as home:
        daemon = Daemon(home)
        threads = [daemon.call("thread/start")["thread"]["id"] for _ in range(THREADS)]
        for _ in range(KILLS):
            cut += run_until_killed(daemon, threads, chance.randrange(WORDS, 20 * WORDS), completed)
            daemon = Daemon(home)
            shown: dict[str, dict[str, object]] = {}
            for thread in threads:
                (id,) = daemon.ask(("thread/resume", {"threadId": thread}))
                answer = daemon.reply(id)
                if "error" in answer:
                    unresumed += 1
                    print(f"  {answer['error']}")
                    continue
                shown.update({turn["id"]: turn for turn in answer["result"]["thread"]["turns"]})
                turn = daemon.run_turn(thread, "are you there?")
                if turn["status"] == "completed":
                    completed.add(turn["id"])
                else:
                    unresumed += 1
                    print(f"  {turn}")
            for turn_id in completed & shown.keys():
                turn = shown[turn_id]
                texts = [item["text"] for item in turn["items"] if item["type"] == "agentMessage"]  # type: ignore[attr-defined]
                wrong += turn["status"] != "completed" or texts != [endpoint.text]
            fresh = {turn["id"] for thread in threads for turn in stored(daemon, thread)}
            lost += len(completed - fresh)
        code = daemon.end()
    seconds = time.perf_counter() - began
    print(
        f"{KILLS} kills in {seconds:.1f} s, {cut} turns cut off; of {len(completed)} completed turns "
        f"{lost} lost, {wrong} wrong; {unresumed} threads did not go on; exit {code}"
    )
    return 0 if not (lost or wrong or unresumed or code) and cut else 1


def stored(daemon: Daemon, thread: str) -> list[dict[str, str]]:
    """The stored turns of a thread."""
    turns: list[dict[str, str]] = daemon.call("thread/read", threadId=thread, includeTurns=True)["thread"]["turns"]
    return turns


if __name__ == "__main__":
    sys.exit(main())
