"""Build the shown turns of a rollout from its events.

Newer rollouts have events for the start and end of turns. Without them, each user message starts a turn, which is named
after the place of its line (`rollout-N`) and counts as completed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from spindle.rpc.lenient import Json, mapping, text_or_none
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.turns import Turn
from spindle.storage.rollout import records
from spindle.storage.rollout.items import (
    EVENTS,
    NUMBERED,
    SHOWN_AS,
    agent_message,
    completed_item,
    error_info,
    shown_type,
    user_message,
)
from spindle.storage.rollout.shown import shown_item

EndStatus = Literal["completed", "interrupted", "failed"]

# errors of a request, which do not end the running turn
_HARMLESS = frozenset({"threadRollbackFailed", "activeTurnNotSteerable"})


class ShownTurn:
    """One turn while it is built. `end` is None until a line ends it."""

    __slots__ = (
        "completed_at",
        "context",
        "context_before",
        "duration_ms",
        "end",
        "error",
        "has_user_message",
        "history_start",
        "id",
        "items",
        "marked",
        "numbered",
        "places",
        "root",
        "started_at",
        "where",
    )

    def __init__(self, id: str, marked: bool, history_start: int, context_before: Any) -> None:
        self.id = id
        self.marked = marked
        self.items: list[Json] = []
        self.places: dict[str, int] = {}
        self.numbered = 0
        """The number of its numbered items."""
        self.has_user_message = False
        self.end: EndStatus | None = None if marked else "completed"
        self.error: Json | None = None
        self.root: str | None = id if marked else None
        """The id of the turn that the work began with. A turn without a recorded one is its own."""
        self.started_at: Any = None
        self.completed_at: Any = None
        self.duration_ms: Any = None
        # for a rollback: the start of the turn's part of the model's history (None: lost in a compaction), and the
        # settings that the model knew before
        self.history_start: int | None = history_start
        self.context_before = context_before
        self.context: Any = None
        self.where: Any = None
        """For the reader: the turn's position."""

    def body(self, live: bool) -> Json:
        """The turn as clients see it, in JSON. A turn without an end is interrupted, unless it is live."""
        status = self.end or ("inProgress" if live else "interrupted")
        return {
            "id": self.id,
            "rootTurnId": self.root,
            # an unknown or invalid item must not hide the rest of the conversation
            "items": [shown for item in self.items if (shown := shown_item(item)) is not None],
            "itemsView": "full",
            "status": status,
            "error": self.error if status == "failed" else None,
            "startedAt": _whole(self.started_at),
            "completedAt": _whole(self.completed_at),
            "durationMs": _whole(self.duration_ms),
        }

    def build(self, live: bool) -> Turn:
        """The turn as clients see it; see `body`."""
        return structure(self.body(live), Turn)


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


class ShownTurns:
    """Folds event payloads into turns.

    With `light` it counts items without keeping them, and reads only the members of `heads.light_event`.
    """

    def __init__(self, *, light: bool = False) -> None:
        self.turns: list[ShownTurn] = []
        self.current: ShownTurn | None = None
        self.numbered = 0
        """The number of numbered items so far."""
        self.opened: ShownTurn | None = None
        """The turn that the last event started."""
        self.touched: ShownTurn | None = None
        """The turn that the last event belongs to."""
        self._light = light
        self._by_id: dict[str, ShownTurn] = {}
        self._reasoning: tuple[ShownTurn, Json] | None = None
        self._index = 0
        self._history_length = 0
        self._implicit_start = 0
        self._context: Json | None = None

    def feed(
        self, event: Json, index: int, history_length: int = 0, implicit_start: int = 0, context: Any = None
    ) -> None:
        """Fold one `event_msg` payload.

        `index` is the place of the line in the file, `history_length` the length of the model's history so far,
        `implicit_start` the start in that history of a turn that begins with this user message, `context` the last turn
        context.
        """
        self.opened = self.touched = None
        kind = event.get("type")
        if not isinstance(kind, str):
            return
        name = self.HANDLERS.get(kind)
        if name is None and kind not in EVENTS:
            return
        self._index, self._history_length, self._implicit_start = index, history_length, implicit_start
        self._context = context
        if name is not None:
            handle: Callable[[Json], None] = getattr(self, name)
            handle(event)
        else:
            self._put(self._turn_of(event), self._item(EVENTS[kind], event, SHOWN_AS[kind]), event.get("call_id"))

    def _item(self, make: Callable[[Json], Json], of: Json, kind: str) -> Json:
        """The item that `make` builds from a payload. A payload of an unexpected form gives an item that is not shown."""
        if self._light:
            return {"type": kind}
        try:
            return make(of)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return {"type": kind}

    def adopt(self, turn: ShownTurn) -> None:
        """Continue after a turn that was folded elsewhere."""
        self.turns.append(turn)
        self._by_id[turn.id] = turn

    def passed(self, numbered: int) -> None:
        """An item was added to another turn elsewhere, and used `numbered` numbers."""
        self.numbered += numbered
        self._reasoning = None

    @property
    def in_reasoning(self) -> bool:
        """Whether following reasoning belongs to the last item."""
        return self._reasoning is not None

    def continue_reasoning(self, turn: ShownTurn) -> None:
        """Following reasoning belongs to an existing item of `turn`."""
        self._reasoning = turn, {}

    @property
    def last_id(self) -> str | None:
        """The id of the newest turn."""
        return self.turns[-1].id if self.turns else None

    def drop(self, count: int) -> list[ShownTurn]:
        """Remove the last `count` turns (or all, if there are fewer) and return them, oldest first."""
        if count <= 0:
            return []
        keep = max(0, len(self.turns) - count)
        self.turns, dropped = self.turns[:keep], self.turns[keep:]
        self._by_id = {turn.id: turn for turn in self.turns}
        self.numbered = sum(turn.numbered for turn in self.turns)
        self.current = self._reasoning = None
        return dropped

    def _open(self, id: str, marked: bool) -> ShownTurn:
        start = self._history_length if marked else self._implicit_start
        turn = ShownTurn(id, marked, start, self._context)
        self.turns.append(turn)
        self._by_id[id] = self.current = self.opened = turn
        self._reasoning = None
        return turn

    def _turn_of(self, event: Json) -> ShownTurn:
        named = event.get("turn_id")
        if isinstance(named, str) and named in self._by_id:
            return self._by_id[named]
        return self.current or self._open(f"rollout-{self._index}", marked=False)

    def _put(self, turn: ShownTurn, item: Json, id: object) -> None:
        self.touched = turn
        self._reasoning = None
        kind = item["type"]
        if kind == "userMessage":
            turn.has_user_message = True
        if kind in NUMBERED or not isinstance(id, str):
            self.numbered += 1
            turn.numbered += 1
            if not self._light:
                turn.items.append({**item, "id": f"item-{self.numbered}"})
            return
        if self._light:
            return
        item = {**item, "id": id}
        place = turn.places.setdefault(id, len(turn.items))
        if place == len(turn.items):
            turn.items.append(item)
        else:
            turn.items[place] = item

    def _started(self, event: Json) -> None:
        named = event.get("turn_id")
        turn = self._open(named if isinstance(named, str) else f"rollout-{self._index}", marked=True)
        turn.started_at = event.get("started_at")
        turn.root = text_or_none(event.get("root_turn_id")) or turn.root

    def _ended(self, event: Json) -> ShownTurn | None:
        named = event.get("turn_id")
        turn = self._by_id.get(named) if isinstance(named, str) else self.current
        if turn is None:
            return None
        self.touched = turn
        turn.completed_at = event.get("completed_at")
        turn.duration_ms = event.get("duration_ms")
        if turn is self.current:
            self.current = self._reasoning = None
        return turn

    def _completed(self, event: Json) -> None:
        turn = self._ended(event)
        if turn is None:
            return
        if error := mapping(event.get("error")):  # 0.169 writes it here
            self._fail(turn, error)
        elif turn.end is None:
            turn.end = "completed"

    def _aborted(self, event: Json) -> None:
        turn = self._ended(event)
        if turn is not None:
            turn.end = "interrupted"

    def _failed(self, event: Json) -> None:
        info = error_info(event.get("codex_error_info"))
        name = next(iter(mapping(info)), None) or info
        if isinstance(name, str) and name in _HARMLESS:
            return
        named = event.get("turn_id")
        turn = self._by_id.get(named) if isinstance(named, str) else self.current
        if turn is not None:
            self._fail(turn, event)

    def _fail(self, turn: ShownTurn, error: Json) -> None:
        self.touched = turn
        turn.end = "failed"
        turn.error = {
            "message": str(error.get("message", "")),
            "codexErrorInfo": error_info(error.get("codex_error_info")),
            "additionalDetails": text_or_none(error.get("additional_details")),
        }

    def _user_message(self, event: Json) -> None:
        turn = self.current
        if turn is None or not turn.marked:
            turn = self._open(f"rollout-{self._index}", marked=False)
        self._put(turn, self._item(user_message, event, "userMessage"), None)

    def _agent_message(self, event: Json) -> None:
        if event.get("message"):
            self._put(self._turn_of(event), self._item(agent_message, event, "agentMessage"), None)

    def _reasoned(self, event: Json) -> None:
        self._add_reasoning(event, "summary")

    def _reasoned_raw(self, event: Json) -> None:
        self._add_reasoning(event, "content")

    def _add_reasoning(self, event: Json, part: Literal["summary", "content"]) -> None:
        """Consecutive reasoning events are one item."""
        text = event.get("text")
        if not isinstance(text, str) or not text:
            return
        turn = self._turn_of(event)
        if self._reasoning is None or self._reasoning[0] is not turn:
            self._put(turn, {"type": "reasoning", "summary": [], "content": []}, None)
            self._reasoning = turn, {} if self._light else turn.items[-1]
        self.touched = turn
        if not self._light:
            self._reasoning[1][part].append(text)

    def _item_completed(self, event: Json) -> None:
        given = mapping(event.get("item"))
        if not given:
            return
        item = self._item(completed_item, given, shown_type(given))
        if item["type"] == "userMessage" and (self.current is None or not self.current.marked):
            named = event.get("turn_id")
            if not isinstance(named, str) or named not in self._by_id:
                self._open(named if isinstance(named, str) else f"rollout-{self._index}", marked=False)
        self._put(self._turn_of(event), item, given.get("id"))

    HANDLERS: ClassVar[Mapping[str, str]] = {
        records.TASK_STARTED: "_started",
        records.TURN_STARTED: "_started",
        records.TASK_COMPLETE: "_completed",
        records.TURN_COMPLETE: "_completed",
        records.TURN_ABORTED: "_aborted",
        records.ERROR: "_failed",
        records.USER_MESSAGE: "_user_message",
        records.AGENT_MESSAGE: "_agent_message",
        records.AGENT_REASONING: "_reasoned",
        records.AGENT_REASONING_RAW_CONTENT: "_reasoned_raw",
        records.ITEM_COMPLETED: "_item_completed",
    }
    """The method for each type of event that is not the end of an item."""


SHOWN_EVENTS = records.encoded((*ShownTurns.HANDLERS, *EVENTS))
"""The types of the events that build turns."""
