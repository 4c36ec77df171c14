"""A turn that was left while it waited for an answer: what is stored of it, and how it is found when its thread is loaded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, get_type_hints

import orjson
from attrs import evolve

from spindle.actors.settings.settings import FIELDS, Settings
from spindle.actors.turn.host import TurnInput
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import InvalidValue, encode, structure
from spindle.rpc.protocol.items import FunctionCallOutputItem
from spindle.rpc.protocol.settings import CollaborationMode
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import UserInput
from spindle.storage.state import StateStore
from spindle.storage.state.open_turns import waiting

log = logging.getLogger("spindle")

_IDS: Any = Sequence[str]
_CONTENT: Any = Sequence[UserInput]

LOST = "interrupted: the server ended while this call ran; how much of it was done is not known"
"""The output of a call that had begun."""


@frozen(kw_only=True)
class SuspendedTurn:
    """A turn that can go on. `calls` are those of the model's last answer, `pending` those among them that may still be run.

    `params` are without the input; `input` is what had joined the turn and was not sent yet.
    """

    id: str
    started_at: int
    params: TurnStartParams
    settings: Settings
    calls: Sequence[str]
    pending: Sequence[str]
    input: Sequence[TurnInput]

    def encode(self) -> bytes:
        """The turn as it is stored."""
        return encode(
            {
                "startedAt": self.started_at,
                "params": evolve(self.params, input=()),
                "settings": {name: getattr(self.settings, name) for name in FIELDS},
                "calls": self.calls,
                "pending": self.pending,
                "input": [
                    {
                        "content": one.content,
                        "item": one.item,
                        "attached": one.attached,
                        "clientId": one.client_id,
                        "context": one.context,
                        "output": one.output,
                    }
                    for one in self.input
                ],
            }
        )

    @classmethod
    def decode(cls, id: str, body: bytes) -> SuspendedTurn | None:
        """The turn `id` from its stored form; None if another version has written what this one cannot read."""
        try:
            stored: Any = orjson.loads(body)
            kinds: dict[str, Any] = get_type_hints(Settings, include_extras=True)
            kinds["collaboration_mode"] = CollaborationMode | None
            kinds["roots"] = Sequence[str]
            settings: dict[str, Any] = {name: structure(stored["settings"][name], kinds[name]) for name in FIELDS}
            settings["roots"] = tuple(settings["roots"])
            return cls(
                id=id,
                started_at=structure(stored["startedAt"], int),
                params=structure(stored["params"], TurnStartParams),
                settings=Settings(**settings),
                calls=structure(stored["calls"], _IDS),
                pending=structure(stored["pending"], _IDS),
                input=[
                    TurnInput(
                        structure(one["content"], _CONTENT),
                        one["item"],
                        one["attached"],
                        one.get("clientId"),
                        one.get("context") or {},
                        structure(one["output"], FunctionCallOutputItem) if one.get("output") else None,
                    )
                    for one in stored["input"]
                ],
            )
        except (orjson.JSONDecodeError, InvalidValue, KeyError, TypeError) as error:
            log.warning("the turn %s cannot go on: what is stored of it cannot be read: %s", id, error)
            return None


async def find(store: StateStore, thread_id: str, turn_id: str | None) -> SuspendedTurn | None:
    """The turn with which a rollout ends without an end, if it can go on."""
    if turn_id is None:
        return None
    body = await store.read_or(partial(waiting, thread_id=thread_id, turn_id=turn_id), None)
    return None if body is None else SuspendedTurn.decode(turn_id, body)
