"""Clients that follow threads, and whether each got what the others got."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from .client import Json
from .websocket import SocketClient

Event = tuple[str, str]
"""A method, and what distinguishes the event: a text, or an id."""

SCOPED = ("turn/", "item/")
"""The beginnings of the methods that only subscribers get."""


class Follower:
    """A client that is subscribed to threads. A thread of its own reads until the connection ends."""

    def __init__(self, path: str, threads: set[str]) -> None:
        self.threads = threads
        self.events: defaultdict[str, list[Event]] = defaultdict(list)
        self._client = SocketClient(path)
        for thread in sorted(threads):
            self._client.call("thread/resume", threadId=thread)
        self._changed = threading.Condition()
        self._ends: list[float] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for message in self._client.messages:
            if not str(message.get("method", "")).startswith(SCOPED):
                continue
            self.events[message["params"]["threadId"]].append(_event(message))
            if message["method"] == "turn/completed":
                with self._changed:
                    self._ends.append(time.perf_counter())
                    self._changed.notify()

    def completed(self, timeout: float) -> list[float]:
        """Wait for a turn on each thread; returns when each was completed. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._ends) >= len(self.threads), timeout):
                raise TimeoutError(f"{len(self._ends)} of {len(self.threads)} turns")
            ends, self._ends = self._ends, []
        return ends

    def close(self) -> None:
        """Close the connection, and wait for its end."""
        self._client.wire.close()
        self._reader.join(10)
        self._client.wire.dispose()


def differences(followers: Sequence[Follower], turns: int) -> list[str]:
    """What was missing, came twice, in another order, or to a client that does not follow the thread."""
    wrong: list[str] = []
    first: dict[str, list[Event]] = {}
    for number, follower in enumerate(followers):
        wrong += [f"client {number}: events of {thread}" for thread in follower.events.keys() - follower.threads]
        for thread in follower.threads:
            got = list(_joined(follower.events[thread]))
            if got != first.setdefault(thread, got):
                wrong.append(f"client {number}: other events of {thread}")
            if sum(method == "turn/completed" for method, _ in got) != turns or len(got) != len({*got}):
                wrong.append(f"client {number}: {len(got)} events of {thread}")
    return wrong


def _event(message: Json) -> Event:
    method, params = str(message["method"]), message["params"]
    turn = params.get("turnId") or params.get("turn", {}).get("id")
    if method.endswith("/delta"):
        return f"{method} {turn} {params['itemId']}", params["delta"]
    return method, f"{turn} {params.get('item', {}).get('id')} {params.get('tokenUsage')}"


def _joined(events: Sequence[Event]) -> Iterator[Event]:
    """With one event for consecutive deltas of an item: one that lags gets fewer of them, with the same text."""
    last: Event | None = None
    for method, text in events:
        if last is not None and last[0] == method and "/delta " in method:
            last = method, last[1] + text
            continue
        if last is not None:
            yield last
        last = method, text
    if last is not None:
        yield last
