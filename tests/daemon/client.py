"""A client of the daemon, on any wire."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol

import pytest
from benchmarks.driving import DEADLINE, Json, Refused, Requests

from .feed import Feed


class Wire(Protocol):
    def write(self, messages: Sequence[bytes]) -> None:
        """Write all messages at once."""

    def read(self) -> Iterator[bytes]:
        """Each message, until the peer closes."""

    def close(self) -> None:
        """Write no more."""


class Pipes:
    """Standard input and output."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self._in, self._out = stdin, stdout

    def write(self, messages: Sequence[bytes]) -> None:
        self._in.write(b"".join(message + b"\n" for message in messages))
        self._in.flush()

    def read(self) -> Iterator[bytes]:
        return iter(self._out)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._in.close()


class Client(Requests):
    """A client of the protocol. A thread of its own reads every message into `messages`."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire
        self.messages: Feed[Json] = Feed()
        self._since: dict[int | str, int] = {}
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self.wire.read():
                self.messages.add(json.loads(line))
        except (OSError, ValueError):
            pass  # a waiting thread gets EOFError
        finally:
            self.messages.end()

    @property
    def now(self) -> int:
        """The number of messages so far: a `since`."""
        return len(self.messages.entries)

    def write(self, messages: Sequence[bytes]) -> None:
        self.wire.write(messages)

    def ask(self, *requests: tuple[str, Json]) -> list[int]:
        since = self.now
        ids = super().ask(*requests)
        self._since |= dict.fromkeys(ids, since)
        return ids

    def reply(self, id: int | str) -> Json:
        since = self._since.get(id, 0)
        return self.messages.find(lambda message: message.get("id") == id and "method" not in message, since)

    def refusal(self, method: str, **params: Any) -> Refused:
        """The error that answers the request."""
        with pytest.raises(Refused) as refused:
            self.call(method, **params)
        return refused.value

    def wait_for(self, method: str, thread: str, turn: str | None = None, since: int = 0) -> Json:
        """Wait for a notification of a thread, or of its turn; returns the params."""

        def wanted(message: Json) -> bool:
            if message.get("method") != method:
                return False
            params = message["params"]
            own = params.get("turnId") or params.get("turn", {}).get("id")
            return params.get("threadId") == thread and (turn is None or own == turn)

        params: Json = self.messages.find(wanted, since)["params"]
        return params

    def initialize(self, **capabilities: Any) -> Any:
        info = {"name": "tester", "version": "1.0"}
        return self.call("initialize", clientInfo=info, capabilities=capabilities or None)

    def start_thread(self, **params: Any) -> Json:
        thread: Json = self.call("thread/start", **params)["thread"]
        return thread

    def run_turn(self, thread: str, text: str) -> Json:
        """Run a turn to its end; returns it as completed."""
        since = self.now
        turn = self.start_turn(thread, text)
        ended: Json = self.wait_for("turn/completed", thread, turn, since)["turn"]
        return ended

    def hold_turn(self, thread: str) -> str:
        """Start a turn; returns its id when its answer is being streamed."""
        since = self.now
        turn = self.start_turn(thread, "hold on")
        self.wait_for("item/agentMessage/delta", thread, turn, since)
        return turn

    def join(self) -> None:
        self.wire.close()
        self._thread.join(DEADLINE)
