"""Clients on connections in memory. For them a poisoned request is one failed request."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import trio
from tests.actors.wires import Wire

from spindle import Runtime
from spindle.actors.clients.connection import Connection

PATIENCE = 30.0
"""Seconds after which an answer counts as missing."""


class Client:
    """A client of a runtime; `answers` counts the answers by id, `questions` are answered by `answer`, as JSON text."""

    def __init__(self, runtime: Runtime) -> None:
        self.wire = Wire("stdio")
        self.connection = Connection(runtime._backend, self.wire)
        self.received: list[dict[str, Any]] = []
        self.answers: Counter[object] = Counter()
        self.answer: Callable[[dict[str, Any]], bytes] = lambda question: b'"result":{}'
        self._ids = count()

    async def ask(self, method: str, params: bytes) -> dict[str, Any]:
        """Ask and wait: the whole answer."""
        id = next(self._ids)
        await self.wire.requests.send(b'{"id":%d,"method":%s,"params":%s}' % (id, json.dumps(method).encode(), params))
        return await self.until(lambda message: "method" not in message and message["id"] == id)

    async def call(self, method: str, **params: Any) -> Any:
        """Ask and wait: the result."""
        answer = await self.ask(method, json.dumps(params).encode())
        assert "result" in answer, answer
        return answer["result"]

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message of this kind."""
        with trio.fail_after(PATIENCE):
            while True:
                message: dict[str, Any] = await self.wire.messages.receive()
                self.received.append(message)
                if "method" not in message:
                    self.answers[message["id"]] += 1
                elif "id" in message:
                    await self.wire.requests.send(b'{"id":%d,%s}' % (message["id"], self.answer(message)))
                if wanted(message):
                    return message

    async def start_thread(self) -> str:
        """The id of a new thread."""
        thread: str = (await self.call("thread/start"))["thread"]["id"]
        return thread

    async def run_turn(self, thread: str, text: str = "hello") -> dict[str, Any]:
        """Run a turn to its end; returns it."""
        content = [{"type": "text", "text": text}]
        turn = (await self.call("turn/start", threadId=thread, input=content))["turn"]["id"]
        ended = await self.until(
            lambda message: message.get("method") == "turn/completed" and message["params"]["turn"]["id"] == turn
        )
        completed: dict[str, Any] = ended["params"]["turn"]
        return completed


@pytest.fixture
def connect(nursery: trio.Nursery) -> Callable[[Runtime], Any]:
    """connect(runtime) -> a client that has initialized."""

    async def connect(runtime: Runtime) -> Client:
        client = Client(runtime)
        nursery.start_soon(client.connection.run, lambda exited: None)
        await client.call(
            "initialize", clientInfo={"name": "tester", "version": "1"}, capabilities={"experimentalApi": True}
        )
        return client

    return connect


@pytest.fixture
def tracebacks(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """tracebacks() -> what was logged with an exception: a fault that no code expected."""

    def found() -> list[str]:
        formatter = logging.Formatter()
        records = [record for record in caplog.records if record.exc_info]
        return [f"{record.getMessage()}\n{formatter.formatException(record.exc_info)}" for record in records]  # type: ignore[arg-type]

    return found
