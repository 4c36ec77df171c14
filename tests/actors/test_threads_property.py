"""Random operations on threads: what is listed, read and resumed agrees with a small model.

A real runtime over a real home, driven by the messages that a client sends. After each step the whole list is compared,
on both sides of the archive; pagers that were begun earlier go on in between, while threads come and go under them.
"""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import orjson
import trio
from attrs import define, field
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spindle import Runtime, open_runtime
from spindle.actors.clients.connection import Connection
from spindle.rpc.model.offline import OfflineModel

from .wires import Wire

OPERATIONS = (
    "start",
    "start",
    "turn",
    "name",
    "archive",
    "unarchive",
    "fork",
    "rollback",
    "delete",
    "unsubscribe",
    "resume",
    "page",
    "page",
    "page archived",
)
PAGE = 2


class Refused(Exception):
    """The server answered with an error."""


class Client:
    """Sends requests and waits for their answers; keeps the notifications."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._ids = wire, count()
        self.notifications: list[tuple[str, Any]] = []

    async def call(self, method: str, **params: Any) -> Any:
        id = next(self._ids)
        await self._wire.requests.send(orjson.dumps({"id": id, "method": method, "params": params}))
        while True:
            message = await self._next()
            if message.get("id") == id:
                if "error" in message:
                    raise Refused(message["error"]["message"])
                return message["result"]

    async def until(self, method: str, since: int) -> None:
        while all(name != method for name, _ in self.notifications[since:]):
            await self._next()

    async def _next(self) -> Any:
        message = await self._wire.messages.receive()
        if "method" in message:
            self.notifications.append((message["method"], message["params"]))
        return message


@define
class Known:
    """One thread as the model has it; `turns` are the texts of its turns."""

    id: str
    path: str
    turns: list[str] = field(factory=list)
    name: str | None = None
    archived: bool = False
    loaded: bool = True
    forked_from: str | None = None
    asked: bool = False
    """Whether it ever had a turn: only then is it listed."""

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands among the others: the time in its file's name, then its id."""
        stamp = Path(self.path).name[len("rollout-") :][: len("2025-01-05T12-00-00")]
        return stamp, self.id


@define
class Pager:
    """A walk through the list. `owed` are the threads that have been in it all the time."""

    archived: bool
    owed: set[str]
    seen: list[str] = field(factory=list)
    cursor: str | None = None


class World:
    """The client, the model, and the comparison of both."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.threads: dict[str, Known] = {}
        self.gone: set[str] = set()
        self.pagers: dict[bool, Pager] = {}
        self.words = count()

    async def do(self, operation: str, choice: int) -> None:
        """One operation, on the thread that `choice` picks."""
        if operation.startswith("page"):
            await self.page("archived" in operation)
        elif operation == "start":
            await self.start()
        elif self.threads:
            thread = list(self.threads.values())[choice % len(self.threads)]
            await getattr(self, operation)(thread)
        await self.compare()

    async def start(self) -> None:
        thread = (await self.client.call("thread/start"))["thread"]
        assert thread["id"] not in self.threads.keys() | self.gone
        known = self.threads[thread["id"]] = Known(thread["id"], thread["path"])
        await self.turn(known)

    async def turn(self, thread: Known) -> None:
        text = f"words {next(self.words)}"
        since = len(self.client.notifications)
        content = [{"type": "text", "text": text}]
        if not thread.loaded:
            await self.refused("turn/start", threadId=thread.id, input=content)
            return
        await self.client.call("turn/start", threadId=thread.id, input=content)
        await self.client.until("turn/completed", since)
        thread.turns.append(text)
        thread.asked = True

    async def name(self, thread: Known) -> None:
        name = f"name {next(self.words)}"
        if thread.archived:
            await self.refused("thread/name/set", threadId=thread.id, name=name)
            return
        await self.client.call("thread/name/set", threadId=thread.id, name=name)
        thread.name = name

    async def archive(self, thread: Known) -> None:
        if thread.archived:
            await self.refused("thread/archive", threadId=thread.id)
            return
        await self.client.call("thread/archive", threadId=thread.id)
        thread.archived, thread.loaded = True, False
        self.left(thread)

    async def unarchive(self, thread: Known) -> None:
        if not thread.archived:
            await self.refused("thread/unarchive", threadId=thread.id)
            return
        await self.client.call("thread/unarchive", threadId=thread.id)
        thread.archived = False
        self.left(thread)

    async def fork(self, thread: Known) -> None:
        if thread.archived:
            await self.refused("thread/fork", threadId=thread.id)
            return
        fork = (await self.client.call("thread/fork", threadId=thread.id))["thread"]
        assert fork["id"] not in self.threads.keys() | self.gone
        assert user_texts(fork) == thread.turns
        self.threads[fork["id"]] = Known(
            fork["id"], fork["path"], list(thread.turns), forked_from=thread.id, asked=thread.asked
        )

    async def rollback(self, thread: Known) -> None:
        if not thread.loaded or not thread.turns:
            return
        answer = await self.client.call("thread/rollback", threadId=thread.id, numTurns=1)
        thread.turns.pop()
        assert user_texts(answer["thread"]) == thread.turns

    async def delete(self, thread: Known) -> None:
        await self.client.call("thread/delete", threadId=thread.id)
        del self.threads[thread.id]
        self.gone.add(thread.id)
        self.left(thread)
        await self.refused("thread/resume", threadId=thread.id)

    async def unsubscribe(self, thread: Known) -> None:
        status = (await self.client.call("thread/unsubscribe", threadId=thread.id))["status"]
        assert status == ("unsubscribed" if thread.loaded else "notLoaded")
        thread.loaded = False

    async def resume(self, thread: Known) -> None:
        if thread.archived:
            await self.refused("thread/resume", threadId=thread.id)
            return
        answer = await self.client.call("thread/resume", threadId=thread.id)
        assert user_texts(answer["thread"]) == thread.turns
        assert answer["thread"]["name"] == thread.name
        thread.loaded = True

    async def refused(self, method: str, **params: Any) -> None:
        try:
            await self.client.call(method, **params)
        except Refused:
            return
        raise AssertionError(f"{method} should have been refused")

    def left(self, thread: Known) -> None:
        """The thread was moved or removed: a pager may or may not show it."""
        for pager in self.pagers.values():
            pager.owed.discard(thread.id)

    async def page(self, archived: bool) -> None:
        """Begin a walk, or continue the one that has begun. At its end nothing is missing, and nothing comes twice."""
        there = {thread.id for thread in self.threads.values() if thread.asked and thread.archived == archived}
        pager = self.pagers.setdefault(archived, Pager(archived, there))
        answer = await self.client.call(
            "thread/list", archived=archived, limit=PAGE, **({"cursor": pager.cursor} if pager.cursor else {})
        )
        pager.seen += [row["id"] for row in answer["data"]]
        assert len(set(pager.seen)) == len(pager.seen), "listed twice"
        pager.cursor = answer["nextCursor"]
        if pager.cursor is None:
            assert pager.owed <= set(pager.seen), "skipped"
            del self.pagers[archived]

    async def compare(self) -> None:
        """The whole list, of both sides, against the model."""
        for archived in (False, True):
            rows = (await self.client.call("thread/list", archived=archived, limit=100))["data"]
            wanted = [thread for thread in self.threads.values() if thread.asked and thread.archived == archived]
            wanted.sort(key=lambda thread: thread.place, reverse=True)
            assert [row["id"] for row in rows] == [thread.id for thread in wanted]
            assert [row["name"] for row in rows] == [thread.name for thread in wanted]
            assert [row["forkedFromId"] for row in rows] == [thread.forked_from for thread in wanted]
            loaded = [row["status"]["type"] != "notLoaded" for row in rows]
            assert loaded == [thread.loaded for thread in wanted]
        loaded_ids = (await self.client.call("thread/loaded/list"))["data"]
        assert loaded_ids == sorted(thread.id for thread in self.threads.values() if thread.loaded)


def user_texts(thread: Any) -> list[str]:
    """The user's text in each turn of an answered thread."""
    return [
        "".join(part["text"] for part in item["content"])
        for turn in thread["turns"]
        for item in turn["items"]
        if item["type"] == "userMessage"
    ]


async def serve(runtime: Runtime, operations: list[tuple[str, int]]) -> None:
    wire = Wire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(runtime._backend, wire).run, lambda exited: None)
        client = Client(wire)
        info = {"name": "property", "version": "1"}
        await client.call("initialize", clientInfo=info, capabilities={"experimentalApi": True})
        world = World(client)
        for operation, choice in operations:
            await world.do(operation, choice)
        for archived in (False, True):  # finish the walks that have begun
            while archived in world.pagers:
                await world.page(archived)
        nursery.cancel_scope.cancel()


operations = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 20)), min_size=3, max_size=30)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
@hypothesis.example([("start", 0), ("start", 0), ("start", 0), ("page", 0), ("archive", 2), ("fork", 0), ("page", 0)])
@given(operations)
def test_listings_and_reads_agree_with_the_model(operations: list[tuple[str, int]]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "home").mkdir()
            async with open_runtime(home=Path(folder) / "home", cwd=folder, model=OfflineModel()) as runtime:
                with trio.fail_after(60):
                    await serve(runtime, operations)

    trio.run(main)
