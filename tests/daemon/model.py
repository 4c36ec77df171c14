"""The scripted model: what it answers depends on the last text of the user, so that requests may come in any order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.driving import (
    DEADLINE,
    Json,
    ModelServer,
    chunk,
    completed,
    created,
    item_done,
    message_added,
    message_done,
    text_delta,
)

from .feed import Feed

Script = Callable[[], Iterable[Sequence[Json]]]
"""An answer: groups of events. Each group is sent at once."""


def calls(*calls: tuple[str, Json]) -> Iterable[list[Json]]:
    """An answer that calls these tools."""
    items = [
        item_done(type="function_call", call_id=f"call-{number}", name=name, arguments=json.dumps(arguments))
        for number, (name, arguments) in enumerate(calls)
    ]
    yield [created(), *items, completed()]


class Endpoint(ModelServer):
    """The server of the model. It answers, by the text:

    "hold …"             the start of an answer, and the rest after `release`;
    a key of `scripts`   what that script yields;
    anything else        "You said: …".
    """

    poll = 0.01

    def __init__(self) -> None:
        self.requests: Feed[Json] = Feed()
        self.scripts: dict[str, Script] = {}
        self._released = threading.Event()
        super().__init__()

    def release(self) -> None:
        """Send the rest of every held answer."""
        self._released.set()

    def answer(self, body: bytes) -> Iterator[bytes]:
        """See ModelServer."""
        request = json.loads(body)
        self.requests.add(request)
        return (chunk(*events) for events in self._script(last_user_text(request)))

    def _script(self, text: str) -> Iterable[Sequence[Json]]:
        if text in self.scripts:
            yield from self.scripts[text]()
            return
        if text.startswith("hold"):
            yield [created(), message_added(), text_delta("So far")]
            if not self._released.wait(DEADLINE):
                return
            yield [text_delta(" and on"), message_done("So far and on"), completed()]
            return
        words = f"You said: {text}".split(" ")
        yield [created(), message_added()]
        yield from ([text_delta(word if n == 0 else f" {word}")] for n, word in enumerate(words))
        yield [message_done(" ".join(words)), completed()]

    def close(self) -> None:
        """Stop serving, and release what is held."""
        self.release()
        super().close()


def last_user_text(body: Json) -> str:
    """The text of the last user message of a request."""
    said = [item for item in body["input"] if item.get("type") == "message" and item.get("role") == "user"]
    return "".join(part.get("text", "") for part in said[-1]["content"])
