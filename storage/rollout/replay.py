"""Fold the lines of a rollout, without I/O, into all that a thread needs to continue."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from spindle.rpc.lenient import Json, is_sequence, mapping, sequence, text, text_or_none
from spindle.rpc.protocol.turns import Turn
from spindle.storage.rollout import records
from spindle.storage.rollout.fold import Fold, SessionMeta
from spindle.storage.rollout.history import (
    StoredItem,
    is_context,
    is_user_message,
    stored,
    text_of,
    user_text_item,
    with_aborted_outputs,
)
from spindle.storage.rollout.lines import Line
from spindle.storage.rollout.turns import ShownTurn

__all__ = ["RolloutReplay", "SessionMeta", "StoredItem"]

# editors put context before this mark, and the user's text after it
_REQUEST_MARK = "## My request for Codex:"


class RolloutReplay(Fold):
    """The content of a rollout after the lines fed so far. Lines of unknown types are ignored.

    With `light`, the items of turns are counted but not kept: enough for the history.
    """

    def __init__(self, *, light: bool = False) -> None:
        super().__init__(light=light)
        self.meta: SessionMeta | None = None
        self.history: list[StoredItem] = []
        self._index = -1
        self._preview: str | None = None
        self._first_message: str | None = None
        # the length of the last compaction's part of the history, and the summary in it
        self._compacted = 0
        self._summary: str | None = None
        self._types: dict[str, Callable[[dict[str, Any]], None]] = {
            records.RESPONSE_ITEM: self._response_item,
            records.EVENT_MSG: self._event,
            records.TURN_CONTEXT: self.in_context,
            records.COMPACTED: self._compaction,
            records.SESSION_META: self._session_meta,
        }

    def feed(self, line: Line, index: int | None = None) -> None:
        """Fold the next line, or the `index`-th line of the file. The replay owns its payload from now on."""
        self._index = self._index + 1 if index is None else index
        take = self._types.get(line.type)
        if take is not None:
            take(line.payload)

    def completed_history(self, pending: Collection[str] = ()) -> list[StoredItem]:
        """The history with an output `aborted` for each call without output that is not `pending`: models demand one."""
        return with_aborted_outputs(self.history, pending)

    def turns(self, live_turn_id: str | None = None) -> list[Turn]:
        """The shown turns, oldest first. A turn without an end is interrupted, unless it is the live one."""
        return [turn.build(turn.id == live_turn_id) for turn in self.shown.turns]

    @property
    def last_turn_context(self) -> Json | None:
        """The payload of the last turn context still in force."""
        context: Json | None = self.context
        return context

    @property
    def preview(self) -> str:
        """The user's first message; "" if there is none. A rollback does not change it."""
        return self._preview or self._first_message or ""

    @property
    def token_usage(self) -> dict[str, Any] | None:
        """The `info` of the last token count (total_token_usage, last_token_usage, ...), with its `turn_id` added."""
        return None if self.usage is None else {**self.usage, "turn_id": self.usage_turn}

    @property
    def summary(self) -> str | None:
        """The summary of the last compaction in the history; None if there is none."""
        return self._summary

    @property
    def context_in_history(self) -> dict[str, Any] | None:
        """The settings in the model's history: those of the last turn, unless a compaction removed them."""
        return None if self.context_removed else self.last_turn_context

    @property
    def ended_interrupted(self) -> bool:
        """Whether the last turn started and has no end."""
        turns = self.shown.turns
        return bool(turns) and turns[-1].end is None

    def _session_meta(self, payload: dict[str, Any]) -> None:
        meta = SessionMeta.of(payload)
        if meta is not None and self.own_meta(meta.id):
            self.meta = meta

    def _response_item(self, payload: dict[str, Any]) -> None:
        item = stored(payload)
        if item is None:
            return
        self.history.append(item)
        if self._first_message is None and self._preview is None and item.role == "user" and is_user_message(item):
            self._first_message = text_of(item).strip()

    def _event(self, payload: dict[str, Any]) -> None:
        match payload.get("type"):
            case records.TOKEN_COUNT:
                if info := mapping(payload.get("info")):
                    self.spent(info)
            case records.THREAD_NAME_UPDATED:
                self.named(payload)
            case records.THREAD_SETTINGS_APPLIED:
                self.applied(mapping(payload.get("thread_settings")) or None)
            case records.THREAD_ROLLED_BACK:
                if dropped := self.roll_back(payload):
                    self._take_back(dropped)
            case kind:
                if self._preview is None:
                    self._look_for_preview(kind, payload)
                length = len(self.history)
                follows_user = length > 0 and self.history[-1].role == "user"
                implicit = length - 1 if follows_user else length
                self.shown.feed(payload, self._index, length, implicit, self.context)

    def _look_for_preview(self, kind: object, payload: dict[str, Any]) -> None:
        words = ""
        if kind == records.USER_MESSAGE:
            words = text(payload.get("message"))
        elif kind == records.ITEM_COMPLETED:
            item = mapping(payload.get("item"))
            if item.get("type") in ("UserMessage", "userMessage"):
                words = "".join(text(mapping(part).get("text")) for part in sequence(item.get("content")))
        self._preview = words.rpartition(_REQUEST_MARK)[2].strip() or None

    def _compaction(self, payload: dict[str, Any]) -> None:
        replacement = payload.get("replacement_history")
        self._summary = text_or_none(payload.get("message"))
        if is_sequence(replacement):
            kept = [stored(mapping(item)) for item in replacement]
            self.history = [item for item in kept if item is not None]
        else:  # older versions stored only the summary; the user's messages are kept before it
            self.history = [item for item in self.history if is_user_message(item)]
            if self._summary:
                self.history.append(user_text_item(self._summary))
        self._compacted = len(self.history)
        self.compacted()
        for turn in self.shown.turns:
            turn.history_start = None

    def _take_back(self, dropped: list[ShownTurn]) -> None:
        first = dropped[0]
        start = self._start_after_compaction(dropped) if first.history_start is None else first.history_start
        if not self.shown.turns:
            while start < len(self.history) and is_context(self.history[start]):
                start += 1
        del self.history[start:]
        self._compacted = min(self._compacted, start)

    def _start_after_compaction(self, dropped: list[ShownTurn]) -> int:
        """Where to cut when turns from before a compaction are removed: before the remaining ones of their user messages."""
        wanted = sum(turn.history_start is None and turn.has_user_message for turn in dropped)
        start = self._compacted
        for place in range(self._compacted - 1, -1, -1):
            if wanted == 0:
                break
            item = self.history[place]
            if is_user_message(item) and text_of(item) != self._summary:
                start = place
                wanted -= 1
        return start
