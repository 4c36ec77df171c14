"""The story of the demo: one thread that two clients share, then many threads that start and end."""

from __future__ import annotations

import json
import signal
import time
from itertools import count
from pathlib import Path
from typing import Any

import trio

from spindle.demo.daemon import Client, Resources, run_client, run_daemon
from spindle.demo.page import Page, check

THREADS = 100
AT_ONCE = 32
MEMORY_GROWTH = 4.0
"""MiB by which the daemon's memory may grow in the second round of threads. After the first round, the allocator keeps what
it has."""

SCRIPT = [
    {"text": "It is a conversation that is kept: each turn is on disk before you get its end.", "pace": 0.015},
    {"text": "Both of you. Every subscriber gets the same words at the same time.", "pace": 0.015},
]
CONFIG = 'model_provider = "offline"\noffline_script = {script}\n'


async def show(page: Page, folder: Path) -> None:
    """Run the whole story. Raises Failed, possibly in a group."""
    home, socket = prepare(folder)
    page.say("spindle demo: the life of threads, in a daemon of its own, on the offline model\n\n", "bold")
    async with trio.open_nursery() as nursery:
        with page.step("spindle app-server") as done:
            process = await nursery.start(run_daemon, page, home, socket)
            done(f"process {process.pid} listens on a Unix socket")
        with page.step("initialize") as done:
            a = await nursery.start(run_client, "A", socket, home)
            b = await nursery.start(run_client, "B", socket, home)
            done("clients A and B are connected")
        await one_thread(page, a, b, home)
        await many_threads(page, a, b, process.pid)
        with page.step("SIGTERM") as done:
            a.leaving = b.leaving = True
            process.send_signal(signal.SIGTERM)
            status = await process.wait()
            check(status == 0, f"exit code {status}")
            check(not await trio.Path(socket).exists(), "the socket file is still there")
            done("the daemon ends with exit code 0")
        nursery.cancel_scope.cancel()


def prepare(folder: Path) -> tuple[Path, Path]:
    """Make the home in `folder`; returns its path and the path of the socket."""
    home, script = folder / "home", folder / "script.json"
    home.mkdir()
    script.write_text(json.dumps(SCRIPT), encoding="utf-8")
    (home / "config.toml").write_text(CONFIG.format(script=json.dumps(str(script))), encoding="utf-8")
    return home, folder / "socket"


async def one_thread(page: Page, a: Client, b: Client, home: Path) -> None:
    """One thread: two clients subscribe to it, archive and unarchive it, and unsubscribe."""
    with page.step("thread/start") as done:
        id = (await a.ask("thread/start", cwd=str(home)))["thread"]["id"]
        check(await a.ask("thread/loaded/list") == {"data": [id], "nextCursor": None}, "it is not loaded")
        done(f"A starts thread {id}")
    with page.step("turn/start") as done:
        pieces = await turn(page, id, "What is a thread?", a)
        done(f"a turn, streamed in {pieces} pieces")
    with page.step("thread/resume") as done:
        check(turns_of(await b.ask("thread/resume", threadId=id)) == 1, "B does not find the turn")
        done("B subscribes to the same thread and finds 1 turn")
    with page.step("turn/start") as done:
        pieces = await turn(page, id, "Who hears this?", a, b)
        done(f"one turn, {pieces} pieces, the same for A and B")
    with page.step("thread/archive") as done:
        await b.ask("thread/archive", threadId=id)
        for client in (a, b):
            await client.wait_for("thread/archived", id)
            await closed(client, id, 1)
        check(rollouts(home) == (0, 1), "the rollout is not in archived_sessions/")
        done("closed for both, its rollout is in archived_sessions/")
    with page.step("thread/unarchive") as done:
        thread = (await a.ask("thread/unarchive", threadId=id))["thread"]
        await b.wait_for("thread/unarchived", id)
        check(thread["status"] == {"type": "notLoaded"} and rollouts(home) == (1, 0), "it is not back")
        done("back in sessions/, not loaded")
    with page.step("thread/resume") as done:
        for client in (a, b):
            check(turns_of(await client.ask("thread/resume", threadId=id)) == 2, f"{client.name} misses turns")
        done("read from disk for A and B, with its 2 turns")
    with page.step("thread/unsubscribe") as done:
        check(await a.ask("thread/unsubscribe", threadId=id) == {"status": "unsubscribed"}, "A was not a subscriber")
        check((await b.ask("thread/loaded/list"))["data"] == [id], "it went although B is subscribed")
        done("A leaves; B still has the thread")
        check(await b.ask("thread/unsubscribe", threadId=id) == {"status": "unsubscribed"}, "B was not a subscriber")
        await closed(b, id, 2)
        check((await b.ask("thread/loaded/list"))["data"] == [], "it is still loaded")
        done("the last one, B, leaves: status notLoaded, thread/closed")


async def turn(page: Page, id: str, question: str, *clients: Client) -> int:
    """Run a turn of the first client, and show the answer that each client gets; returns the number of its pieces."""
    first = clients[0]
    kinds = "item/agentMessage/delta", "turn/completed"
    marks = [[len(client.received[kind, id]) for kind in kinds] for client in clients]
    page.say(f"{'':11}{first.name} > {question}\n", "bold cyan")
    page.say(f"{'':11}{first.name} < ", "bold cyan")
    started = await first.ask("turn/start", threadId=id, input=[{"type": "text", "text": question}])
    text = ""

    async def print_pieces() -> None:
        nonlocal text
        for position in count(marks[0][0]):
            piece = (await first.wait_for("item/agentMessage/delta", id, position))["delta"]
            text += piece
            page.say(piece, "cyan")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(print_pieces)
        ended = (await first.wait_for("turn/completed", id, marks[0][1]))["turn"]
        nursery.cancel_scope.cancel()
    pieces = [params["delta"] for params in first.received["item/agentMessage/delta", id][marks[0][0] :]]
    page.say("".join(pieces)[len(text) :] + "\n", "cyan")
    check(ended["id"] == started["turn"]["id"] and ended["status"] == "completed", f"the turn is {ended['status']}")
    check(len(pieces) > 1, "the answer was not streamed")
    check("".join(pieces) == first.answer(id), "the pieces are not the answer")
    for client, (mark, number) in list(zip(clients, marks, strict=True))[1:]:
        await client.wait_for("turn/completed", id, number)
        received = [params["delta"] for params in client.received["item/agentMessage/delta", id][mark:]]
        page.say(f"{'':11}{client.name} < ", "bold magenta")
        page.say("".join(received) + "\n", "magenta")
        check(received == pieces, f"{client.name} got another answer")
    return len(pieces)


async def closed(client: Client, id: str, times: int) -> None:
    """Wait until the thread is closed. Checks that it is the `times`-th time, and that `notLoaded` was notified."""
    await client.wait_for("thread/closed", id, times - 1)
    check(len(client.received["thread/closed", id]) == times, f"{client.name} got thread/closed too often")
    statuses = [params["status"]["type"] for params in client.received["thread/status/changed", id]]
    check(statuses[-1:] == ["notLoaded"], f"{client.name} got no thread/status/changed notLoaded")
    check(statuses.count("notLoaded") == times, f"{client.name} got notLoaded too often")


def turns_of(loaded: dict[str, Any]) -> int:
    """The number of completed turns of a resumed thread."""
    return sum(turn["status"] == "completed" for turn in loaded["thread"]["turns"])


def rollouts(home: Path) -> tuple[int, int]:
    """The number of stored and of archived rollouts."""
    found = [sum(1 for _ in (home / name).rglob("rollout-*.jsonl")) for name in ("sessions", "archived_sessions")]
    return found[0], found[1]


async def many_threads(page: Page, a: Client, b: Client, pid: int) -> None:
    """Start THREADS threads, run a turn in each and end them, twice. Checks what the daemon holds."""
    resources = [Resources.by(pid)]
    for _ in range(2):
        with page.step(f"{THREADS} threads come") as done:
            since = time.perf_counter()
            ids = await start_all(a, b)
            check(sorted(ids) == (await a.ask("thread/loaded/list"))["data"], "they are not all loaded")
            done(f"each is started and runs a turn: {(time.perf_counter() - since) / THREADS * 1000:.1f} ms per thread")
        resources.append(Resources.by(pid))
        with page.step(f"{THREADS} threads go") as done:
            since = time.perf_counter()
            await end_all(ids)
            check((await a.ask("thread/loaded/list"))["data"] == [], "some are still loaded")
            done(f"each is closed, none is left: {(time.perf_counter() - since) / THREADS * 1000:.1f} ms per thread")
        resources.append(Resources.by(pid))
    with page.step("the daemon holds") as done:
        known = [one for one in resources if one is not None]
        if len(known) < len(resources):
            done("cannot be read here: there is no /proc")
            return
        before, _, once, _, after = known
        check(after.children == before.children, f"{after.children} child processes, {before.children} before")
        check(after.files == before.files, f"{after.files} open files, {before.files} before")
        check(after.memory <= once.memory + MEMORY_GROWTH, f"{after.memory} MiB, {once.memory} after the first time")
        done("no file and no process more; the second time took no more memory\n")
        titles = ("before", f"{THREADS} live", "gone", f"{THREADS} live", "gone")
        page.say(f"{'':33}" + "".join(f"{title:>12}" for title in titles) + "\n", "bold")
        for title, name in (("child processes", "children"), ("open files", "files"), ("memory, MiB", "memory")):
            page.say(f"{'':11}{title:22}" + "".join(f"{getattr(one, name):12}" for one in known) + "\n")
        page.say("\n")


async def start_all(*clients: Client) -> dict[str, Client]:
    """Start THREADS threads and run a turn in each; returns their ids with their clients."""
    limit = trio.CapacityLimiter(AT_ONCE)
    ids: dict[str, Client] = {}

    async def one(client: Client, text: str) -> None:
        async with limit:
            id = (await client.ask("thread/start"))["thread"]["id"]
            ids[id] = client
            await client.ask("turn/start", threadId=id, input=[{"type": "text", "text": text}])
            ended = (await client.wait_for("turn/completed", id))["turn"]
            check(ended["status"] == "completed", f"a turn is {ended['status']}")
            check(f'"{text}"' in client.answer(id), "a thread got the answer of another")

    async with trio.open_nursery() as nursery:
        for number in range(THREADS):
            nursery.start_soon(one, clients[number % len(clients)], f"thread {number}")
    return ids


async def end_all(ids: dict[str, Client]) -> None:
    """Unsubscribe from the threads and wait until each is closed."""

    async def one(id: str, client: Client) -> None:
        await client.ask("thread/unsubscribe", threadId=id)
        await closed(client, id, 1)

    async with trio.open_nursery() as nursery:
        for id, client in ids.items():
            nursery.start_soon(one, id, client)
