"""The turns that are shown of a rollout, put together from its event lines.

Newer rollouts mark where turns start and end. Where there are no marks, every user message opens a turn, which is
named after the place of its line in the file (`rollout-N`) and taken to have completed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.turns import Turn
from spindle.storage.rollout.items import (
    EVENTS,
    NUMBERED,
    agent_message,
    completed_item,
    error_info,
    user_message,
)
from spindle.storage.rollout.shapes import Json, mapping

End = Literal["completed", "interrupted", "failed"]

# errors about a request, which leave the turn in flight as it is
_HARMLESS = frozenset({"threadRollbackFailed", "activeTurnNotSteerable"})


class ShownTurn:
    """One turn while it is put together. `end` is None as long as no line has told how it ended."""

    __slots__ = (
        "built",
        "completed_at",
        "context",
        "context_before",
        "duration_ms",
        "end",
        "error",
        "history_start",
        "id",
        "items",
        "marked",
        "places",
        "started_at",
    )

    def __init__(self, id: str, marked: bool, history_start: int, context_before: Json | None) -> None:
        self.id = id
        self.marked = marked
        self.items: list[Json] = []
        self.places: dict[str, int] = {}
        self.end: End | None = None if marked else "completed"
        self.error: Json | None = None
        self.started_at: Any = None
        self.completed_at: Any = None
        self.duration_ms: Any = None
        # for a rollback: where the turn's part of the model's history begins (None: lost in a compaction), and the
        # settings the model knew of before
        self.history_start: int | None = history_start
        self.context_before = context_before
        self.context: Json | None = None
        self.built: tuple[str, Turn] | None = None

    @property
    def has_user_message(self) -> bool:
        """Whether the user said something in it."""
        return any(item["type"] == "userMessage" for item in self.items)

    def build(self, live: bool) -> Turn:
        """The turn as clients see it; one that is not live and never ended was cut off, that is interrupted."""
        status = self.end or ("inProgress" if live else "interrupted")
        if self.built is None or self.built[0] != status:
            self.built = status, self._build(status)
        return self.built[1]

    def _build(self, status: str) -> Turn:
        body: Json = {
            "id": self.id,
            "items": self.items,
            "status": status,
            "error": self.error if status == "failed" else None,
            "startedAt": self.started_at,
            "completedAt": self.completed_at,
            "durationMs": self.duration_ms,
        }
        try:
            return structure(body, Turn)
        except InvalidValue:
            # an item of a kind or form from another version must not hide the rest of the conversation
            return structure(body | {"items": [item for item in self.items if _is_known(item)]}, Turn)


def _is_known(item: Json) -> bool:
    try:
        structure({"id": "", "items": [item], "status": "completed", "error": None}, Turn)
    except InvalidValue:
        return False
    return True


class ShownTurns:
    """Folds event payloads into turns. `start` tells, when a turn opens, where the model's history stands then."""

    def __init__(self) -> None:
        self.turns: list[ShownTurn] = []
        self.current: ShownTurn | None = None
        self._by_id: dict[str, ShownTurn] = {}
        self._numbered = 0
        self._reasoning: Json | None = None
        self._handlers: dict[str, Callable[[Json], None]] = {
            "task_started": self._started,
            "turn_started": self._started,
            "task_complete": self._completed,
            "turn_complete": self._completed,
            "turn_aborted": self._aborted,
            "error": self._failed,
            "user_message": self._user_message,
            "agent_message": self._agent_message,
            "agent_reasoning": self._reasoned,
            "agent_reasoning_raw_content": self._reasoned_raw,
            "item_completed": self._item_completed,
        }
        self._index = 0
        self._history_length = 0
        self._implicit_start = 0
        self._context: Json | None = None

    def feed(self, event: Json, index: int, history_length: int, implicit_start: int, context: Json | None) -> None:
        """Take one `event_msg` payload.

        `index` is the place of the line among those of the file, `history_length` that of the model's history so far,
        `implicit_start` where a turn begins in it whose user message is this event, `context` the last turn context.
        """
        kind = event.get("type")
        if not isinstance(kind, str):
            return
        handle = self._handlers.get(kind)
        if handle is None and kind not in EVENTS:
            return
        self._index, self._history_length, self._implicit_start = index, history_length, implicit_start
        self._context = context
        if handle is not None:
            handle(event)
        else:
            self._put(self._turn_of(event), EVENTS[kind](event), event.get("call_id"))

    @property
    def last_id(self) -> str | None:
        """The id of the newest turn."""
        return self.turns[-1].id if self.turns else None

    def drop(self, count: int) -> list[ShownTurn]:
        """Take the last `count` turns away (all, if there are fewer) and return them, oldest first."""
        if count <= 0:
            return []
        keep = max(0, len(self.turns) - count)
        self.turns, dropped = self.turns[:keep], self.turns[keep:]
        for turn in dropped:
            self._by_id.pop(turn.id, None)
        self._numbered = sum(item["type"] in NUMBERED for turn in self.turns for item in turn.items)
        self.current = self._reasoning = None
        return dropped

    def _open(self, id: str, marked: bool) -> ShownTurn:
        start = self._history_length if marked else self._implicit_start
        turn = ShownTurn(id, marked, start, self._context)
        self.turns.append(turn)
        self._by_id[id] = self.current = turn
        self._reasoning = None
        return turn

    def _turn_of(self, event: Json) -> ShownTurn:
        named = event.get("turn_id")
        if isinstance(named, str) and named in self._by_id:
            return self._by_id[named]
        return self.current or self._open(f"rollout-{self._index}", marked=False)

    def _put(self, turn: ShownTurn, item: Json, id: object) -> None:
        self._reasoning = None
        turn.built = None
        if item["type"] in NUMBERED or not isinstance(id, str):
            self._numbered += 1
            turn.items.append({**item, "id": f"item-{self._numbered}"})
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

    def _ended(self, event: Json) -> ShownTurn | None:
        named = event.get("turn_id")
        turn = self._by_id.get(named) if isinstance(named, str) else self.current
        if turn is None:
            return None
        turn.built = None
        turn.completed_at = event.get("completed_at")
        turn.duration_ms = event.get("duration_ms")
        if turn is self.current:
            self.current = self._reasoning = None
        return turn

    def _completed(self, event: Json) -> None:
        turn = self._ended(event)
        if turn is None:
            return
        if error := mapping(event.get("error")):  # 0.169 tells it here
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
        if name in _HARMLESS:
            return
        named = event.get("turn_id")
        turn = self._by_id.get(named) if isinstance(named, str) else self.current
        if turn is not None:
            self._fail(turn, event)

    def _fail(self, turn: ShownTurn, error: Json) -> None:
        turn.built = None
        turn.end = "failed"
        turn.error = {
            "message": str(error.get("message", "")),
            "codexErrorInfo": error_info(error.get("codex_error_info")),
            "additionalDetails": error.get("additional_details"),
        }

    def _user_message(self, event: Json) -> None:
        turn = self.current
        if turn is None or not turn.marked:
            turn = self._open(f"rollout-{self._index}", marked=False)
        self._put(turn, user_message(event), None)

    def _agent_message(self, event: Json) -> None:
        if event.get("message"):
            self._put(self._turn_of(event), agent_message(event), None)

    def _reasoned(self, event: Json) -> None:
        self._add_reasoning(event, "summary")

    def _reasoned_raw(self, event: Json) -> None:
        self._add_reasoning(event, "content")

    def _add_reasoning(self, event: Json, part: Literal["summary", "content"]) -> None:
        """Reasoning that comes in several events without anything in between is one item."""
        text = event.get("text")
        if not isinstance(text, str) or not text:
            return
        turn = self._turn_of(event)
        item = self._reasoning
        if item is None:
            self._put(turn, {"type": "reasoning", "summary": [], "content": []}, None)
            item = self._reasoning = turn.items[-1]
        item[part].append(text)
        turn.built = None

    def _item_completed(self, event: Json) -> None:
        given = mapping(event.get("item"))
        if not given:
            return
        item = completed_item(given)
        if item["type"] == "userMessage" and (self.current is None or not self.current.marked):
            named = event.get("turn_id")
            if not isinstance(named, str) or named not in self._by_id:
                self._open(named if isinstance(named, str) else f"rollout-{self._index}", marked=False)
        self._put(self._turn_of(event), item, item.get("id"))
