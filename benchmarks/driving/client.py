"""The requests of a client: their numbers, their lines, and what comes of them."""

from __future__ import annotations

import abc
import itertools
import json
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

DEADLINE = 60.0
"""Seconds after which a missing answer, notification or exit is an error. It only turns a hang into a failure."""


class Refused(Exception):
    """A request was answered with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class Requests(abc.ABC):
    """Sends requests. How messages are written and received is up to the class that extends it."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)

    @abc.abstractmethod
    def write(self, messages: Sequence[bytes]) -> None:
        """Write all messages at once."""

    @abc.abstractmethod
    def reply(self, id: int | str) -> Json:
        """Wait for the message that answers a request. It may be an error."""

    def answer(self, id: int | str) -> Any:
        """Wait for the result of a request. Raises Refused."""
        message = self.reply(id)
        if "error" in message:
            raise Refused(message["error"])
        return message["result"]

    def ask(self, *requests: tuple[str, Json]) -> list[int]:
        """Write the requests at once; returns their ids."""
        ids = [next(self._ids) for _ in requests]
        self.write(
            [
                json.dumps({"id": id, "method": method, "params": params}).encode()
                for id, (method, params) in zip(ids, requests, strict=True)
            ]
        )
        return ids

    def call(self, method: str, **params: Any) -> Any:
        """Ask and wait for the result. Raises Refused."""
        (id,) = self.ask((method, params))
        return self.answer(id)

    def start_turn(self, thread: str, text: str) -> str:
        """Start a turn; returns its id."""
        turn = self.call("turn/start", threadId=thread, input=[{"type": "text", "text": text}])["turn"]
        return str(turn["id"])
