"""Events: notifications for subscribers, and how consecutive deltas are merged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from attrs import evolve

from spindle.actors.delivery.long_answers import LargeAnswer, LongMessage
from spindle.rpc.protocol.envelope import encode_notification
from spindle.rpc.protocol.values import clean
from spindle.rpc.weighing import weigh, weigh_text

log = logging.getLogger("spindle")


class Event:
    """One notification for any number of subscribers; encoded at most once."""

    __slots__ = ("_encoded", "mergeable", "params", "weight")

    def __init__(self, params: Any) -> None:
        self.params: Any = params
        self.mergeable: bool = params.METHOD in _MERGEABLE
        """Whether it is a delta, which the deltas after it may be joined to."""
        self.weight: int = weigh_text(params.delta) if self.mergeable else weigh(params)
        """About how many bytes it takes; of a delta only its text counts."""
        self._encoded: bytes | None = None

    @property
    def method(self) -> str:
        """The notification's name on the wire."""
        method: str = self.params.METHOD
        return method

    def encode(self) -> bytes:
        """The whole JSON-RPC message. A notification that cannot be encoded is replaced by a `warning` that says so."""
        if self._encoded is None:
            try:
                self._encoded = encode_notification(self.method, self.params)
            except Exception as error:
                from spindle.rpc.protocol.turns import WarningNotification

                why = f"a notification cannot be encoded and is missing: {self.method}: {error}"
                log.error("thread %s: %s", thread_id := getattr(self.params, "thread_id", None), why)
                warning = WarningNotification(None if thread_id is None else clean(thread_id), why)
                self._encoded = encode_notification(warning.METHOD, warning)
        return self._encoded


_MERGEABLE = {
    "item/agentMessage/delta": ("item_id",),
    "item/plan/delta": ("item_id",),
    "item/reasoning/textDelta": ("item_id", "content_index"),
    "item/reasoning/summaryTextDelta": ("item_id", "summary_index"),
    "item/commandExecution/outputDelta": ("item_id",),
}

Message: TypeAlias = Event | bytes | LargeAnswer | LongMessage


def merge(messages: Iterable[Message]) -> Iterator[Message]:
    """The same messages, with consecutive deltas of one item joined into one."""
    run: list[str] = []
    key: tuple[object, ...] | None = None
    first: Event | None = None
    for message in messages:
        own = _merge_key(message)
        if own is not None and own == key and isinstance(message, Event):
            run.append(message.params.delta)
            continue
        if first is not None:
            yield first if len(run) == 1 else Event(evolve(first.params, delta="".join(run)))
        if own is not None and isinstance(message, Event):
            key, first, run = own, message, [message.params.delta]
        else:
            key, first, run = None, None, []
            yield message
    if first is not None:
        yield first if len(run) == 1 else Event(evolve(first.params, delta="".join(run)))


def _merge_key(message: Message) -> tuple[object, ...] | None:
    if not isinstance(message, Event) or (names := _MERGEABLE.get(message.method)) is None:
        return None
    params = message.params
    return (message.method, params.thread_id, *(getattr(params, name) for name in names))
