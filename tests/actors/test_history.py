"""Random runs of pipelining clients over a real home, recorded whole, and checks of the record.

Requests, answers, notifications and what was written and synced are one list, in the order they happened.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import trio
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle import open_runtime
from spindle.rpc.model.offline import OfflineModel

from .talks import Asked, Heard, Talk

CLIENTS = 2
BEYOND = {
    "thread/archived",
    "thread/unarchived",
    "thread/deleted",
    "thread/name/updated",
}
"""Notifications about a stored thread, loaded or not."""


MARKS = {"completed": b'"task_complete"', "interrupted": b'"turn_aborted"'}
"""The records of a turn's end. For a failed turn there may be none."""


@frozen
class Wrote:
    """Bytes went into a file, which `inode` identifies."""

    inode: int
    data: bytes


@frozen
class Synced:
    """What was written to the file, or renamed in the folder, is on disk."""

    inode: int


@frozen
class Renamed:
    """A file moved; `folders` are those it left and came to."""

    name: str
    folders: tuple[int, int]


class Disk:
    """Records what this process does to files, over the real ones."""

    def __init__(self, history: list[Any]) -> None:
        self._history = history
        self._whole = {name: getattr(os, name) for name in ("write", "fsync", "fdatasync", "rename")}

    def __enter__(self) -> None:
        whole, history = self._whole, self._history

        def write(fd: int, data: Any) -> int:
            written: int = whole["write"](fd, data)
            history.append(Wrote(os.fstat(fd).st_ino, bytes(data[:written])))
            return written

        def syncing(name: str) -> Any:
            def sync(fd: Any) -> None:
                whole[name](fd)
                history.append(Synced(os.fstat(fd).st_ino))

            return sync

        def rename(source: Any, target: Any, **options: Any) -> None:
            whole["rename"](source, target, **options)
            folders = os.stat(Path(source).parent).st_ino, os.stat(Path(target).parent).st_ino
            history.append(Renamed(Path(target).name, folders))

        os.write, os.rename = write, rename  # type: ignore[assignment]
        os.fsync, os.fdatasync = syncing("fsync"), syncing("fdatasync")

    def __exit__(self, *error: object) -> None:
        for name, whole in self._whole.items():
            setattr(os, name, whole)


def judge(history: list[Any]) -> list[str]:
    """The promises that were broken."""
    return [*answers(history), *silence(history), *order(history), *saved(history)]


def _answers_of(history: list[Any]) -> dict[tuple[int, int], Any]:
    found: dict[tuple[int, int], Any] = {}
    for entry in history:
        if isinstance(entry, Heard) and "id" in entry.message and "method" not in entry.message:
            found[entry.client, entry.message["id"]] = entry.message
    return found


def answers(history: list[Any]) -> list[str]:
    """Each request is answered exactly once."""
    times: dict[tuple[int, int], int] = {(e.client, e.id): 0 for e in history if isinstance(e, Asked)}
    for entry in history:
        if isinstance(entry, Heard) and "id" in entry.message and "method" not in entry.message:
            key = entry.client, entry.message["id"]
            times[key] = times.get(key, 0) + 1
    return [f"{key} is answered {count} times" for key, count in times.items() if count != 1]


def silence(history: list[Any]) -> list[str]:
    """After its close a thread has no notifications, except those of a new incarnation, which begin with its status."""
    wrong: list[str] = []
    closed: set[tuple[int, str]] = set()
    for entry in history:
        if not isinstance(entry, Heard) or (method := entry.message.get("method")) is None or method in BEYOND:
            continue
        if method == "thread/goal/updated" and entry.message["params"].get("turnId") is None:
            continue  # a client caused it
        key = entry.client, entry.message["params"].get("threadId")
        if method == "thread/closed":
            wrong += [f"{key} is closed twice"] if key in closed else []
            closed.add(key)
        elif key in closed:
            status = entry.message["params"].get("status", {}).get("type")
            if method != "thread/status/changed" or status in ("notLoaded", "systemError"):
                wrong.append(f"{method} after the close of {key}")
            closed.discard(key)
    return wrong


def order(history: list[Any]) -> list[str]:
    """What one client sends for one thread arrives in that order.

    Names are announced in the order they were given, and leaving answers for what was asked before it.
    """
    wrong: list[str] = []
    results = _answers_of(history)
    given: dict[tuple[int, str], list[str]] = defaultdict(list)
    subscribed: dict[tuple[int, str], bool] = {}
    ended = {e.params["threadId"] for e in history if isinstance(e, Asked) and e.method in ("thread/archive", "thread/delete")}
    for entry in history:
        if not isinstance(entry, Asked):
            continue
        answer = results.get((entry.client, entry.id), {})
        thread = entry.params.get("threadId", answer.get("result", {}).get("thread", {}).get("id"))
        key = entry.client, thread
        if entry.method == "thread/name/set" and "result" in answer:
            given[key].append(entry.params["name"])
        elif entry.method in ("thread/start", "thread/resume") and "result" in answer:
            subscribed[key] = True
        elif entry.method == "thread/unsubscribe" and "result" in answer and thread not in ended:
            left = answer["result"]["status"] == "unsubscribed"
            if left != subscribed.get(key, False):
                wrong.append(f"{key} leaves with {answer['result']} out of order")
            subscribed[key] = False
    for (client, thread), names in given.items():
        told = [
            e.message["params"]["threadName"]
            for e in history
            if isinstance(e, Heard)
            and e.client == client
            and e.message.get("method") == "thread/name/updated"
            and e.message["params"]["threadId"] == thread
        ]
        if [name for name in told if name in names] != names:
            wrong.append(f"names of {thread} out of order: {told}")
    return wrong


def saved(history: list[Any]) -> list[str]:
    """What was answered as saved was synced before that: names, ended turns, moved files."""
    wrong: list[str] = []
    asked = {(e.client, e.id): e for e in history if isinstance(e, Asked)}
    for at, entry in enumerate(history):
        if not isinstance(entry, Heard):
            continue
        request = asked.get((entry.client, entry.message.get("id", -1)))
        if entry.message.get("method") == "turn/completed":
            turn = entry.message["params"]["turn"]
            if (mark := MARKS.get(turn["status"])) is not None:
                wrong += _unsynced(history[:at], (mark, turn["id"].encode()))
        elif request is None or "result" not in entry.message:
            continue
        elif request.method == "thread/name/set":
            wrong += _unsynced(history[:at], (b"thread_name_updated", request.params["name"].encode()))
        elif request.method in ("thread/archive", "thread/unarchive"):
            wrong += _unmoved(history[:at], request.params["threadId"], archived=request.method == "thread/archive")
    return wrong


def _unsynced(before: list[Any], words: tuple[bytes, ...]) -> list[str]:
    for at, entry in enumerate(before):
        if isinstance(entry, Wrote) and all(word in entry.data for word in words):
            return [] if Synced(entry.inode) in before[at:] else [f"{words} is not synced"]
    return [f"{words} is not written"]


def _unmoved(before: list[Any], thread: str, *, archived: bool) -> list[str]:
    """The next request may have moved the file back already. A thread's first move is into the archive."""
    moves = [at for at, entry in enumerate(before) if isinstance(entry, Renamed) and thread in entry.name]
    moves = [at for at in moves if (before[at].folders == before[moves[0]].folders) is archived]
    if not moves:
        return [f"{thread} is not moved"]
    folders = before[moves[-1]].folders
    return [] if all(Synced(folder) in before[moves[-1] :] for folder in folders) else [f"the move of {thread} is not synced"]


# -- tests of the checks


def notification(method: str, **params: Any) -> Heard:
    return Heard(0, {"method": method, "params": params})


def answered(id: int, **result: Any) -> Heard:
    return Heard(0, {"id": id, "result": result})


NAMED = Asked(0, 1, "thread/name/set", {"threadId": "t", "name": "one"})
LINE = Wrote(7, b'{"type":"thread_name_updated","thread_name":"one"}')
FAULTS: dict[str, tuple[list[Any], str]] = {
    "no answer": ([NAMED], "answered 0 times"),
    "two answers": ([Asked(0, 1, "x", {}), answered(1), answered(1)], "answered 2 times"),
    "late": ([notification("thread/closed", threadId="t"), notification("thread/started", threadId="t")], "after the close"),
    "not written": ([NAMED, answered(1)], "not written"),
    "not synced": ([NAMED, Synced(7), LINE, Synced(8), answered(1)], "not synced"),
    "not moved": ([Asked(0, 1, "thread/archive", {"threadId": "t"}), answered(1)], "not moved"),
    "half moved": (
        [Asked(0, 1, "thread/archive", {"threadId": "t"}), Renamed("t", (1, 2)), Synced(1), answered(1)],
        "is not synced",
    ),
    "left out of order": (
        [
            Asked(0, 1, "thread/resume", {"threadId": "t"}),
            Asked(0, 2, "thread/unsubscribe", {"threadId": "t"}),
            answered(1, thread={"id": "t"}),
            answered(2, status="notLoaded"),
        ],
        "leaves with",
    ),
}


def test_the_judge_sees_each_fault() -> None:
    for history, what in FAULTS.values():
        assert any(what in each for each in judge(history)), what
    named = notification("thread/name/updated", threadId="t", threadName="one")
    assert judge([NAMED, LINE, Synced(7), named, answered(1)]) == []
    moved = [Asked(0, 1, "thread/archive", {"threadId": "t"}), Renamed("t", (1, 2)), Synced(1), Synced(2)]
    assert judge([*moved, Renamed("t", (2, 1)), answered(1)]) == []  # back again, for another client


# -- the runs

OPERATIONS = (
    "turn/start",
    "turn/start",
    "thread/name/set",
    "thread/name/set",
    "thread/unsubscribe",
    "thread/resume",
    "thread/resume",
    "thread/read",
    "thread/turns/list",
    "thread/items/list",
    "thread/archive",
    "thread/unarchive",
    "thread/goal/set",
    "thread/delete",
    "breath",
    "settle",
)
operations = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, CLIENTS - 1), st.integers(0, 1)), min_size=5, max_size=40
)


async def run(runtime: Any, program: list[tuple[str, int, int]], history: list[Any]) -> None:
    talks = [Talk(runtime, history, number) for number in range(CLIENTS)]
    async with trio.open_nursery() as nursery:
        for talk in talks:
            nursery.start_soon(talk.run)
            await talk.initialize()
        threads = [(await talks[0].call("thread/start"))["thread"]["id"] for _ in range(2)]
        for number, (operation, client, at) in enumerate(program):
            talk, thread = talks[client], threads[at]
            match operation:
                case "turn/start":
                    talk.ask(operation, threadId=thread, input=[{"type": "text", "text": f"said {number}"}])
                case "thread/name/set":
                    talk.ask(operation, threadId=thread, name=f"name {number}.")
                case "thread/goal/set":
                    talk.ask(operation, threadId=thread, objective="o")
                case "breath":
                    talk.ask("thread/unsubscribe", threadId=thread)
                    talk.ask("thread/resume", threadId=thread)
                case "settle":
                    await talk.call("thread/loaded/list")
                case _:
                    talk.ask(operation, threadId=thread)
        for entry in [entry for entry in history if isinstance(entry, Asked)]:
            await talks[entry.client].settled(entry.id)
        for talk in talks:
            talk.hang_up()


@settings(max_examples=25, deadline=None)
@given(operations)
def test_recorded_random_runs_keep_the_promises(program: list[tuple[str, int, int]]) -> None:
    history: list[Any] = []

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_runtime(home=Path(folder) / "home", cwd=folder, model=OfflineModel()) as runtime:
                with trio.fail_after(60):
                    await run(runtime, program, history)

    with Disk(history):
        trio.run(main)
    assert judge(history) == []
