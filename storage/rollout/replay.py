"""Reading a rollout back: a fold over its lines, without any I/O, that gives a thread all it needs to go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from spindle.rpc.protocol.turns import Turn
from spindle.storage.rollout.history import (
    StoredItem,
    is_context,
    is_user_message,
    said_by_user,
    stored,
    text_of,
    with_aborted_outputs,
)
from spindle.storage.rollout.lines import Line
from spindle.storage.rollout.shapes import is_mapping, is_sequence, mapping, sequence, text, text_or_none
from spindle.storage.rollout.turns import ShownTurn, ShownTurns

__all__ = ["Replay", "SessionMeta", "StoredItem"]

# editors put context of their own before this mark, and what the user typed after it
_REQUEST_MARK = "## My request for Codex:"


@frozen
class SessionMeta:
    """The `session_meta` line of a rollout; `raw` is all of its payload, `source` JSON (mostly a string)."""

    id: str
    forked_from_id: str | None
    timestamp: str
    cwd: str
    originator: str
    cli_version: str
    source: object
    model_provider: str | None
    base_instructions: str | None
    git: dict[str, Any] | None
    agent_nickname: str | None
    agent_role: str | None
    raw: dict[str, Any]

    @classmethod
    def of(cls, payload: dict[str, Any]) -> SessionMeta | None:
        """The metadata in a payload, or None where it has no thread id."""
        id = payload.get("id")
        if not isinstance(id, str):
            return None
        instructions = payload.get("base_instructions")
        if is_mapping(instructions):
            instructions = instructions.get("text")
        return cls(
            id=id,
            forked_from_id=text_or_none(payload.get("forked_from_id")),
            timestamp=text(payload.get("timestamp")),
            cwd=text(payload.get("cwd")),
            originator=text(payload.get("originator")),
            cli_version=text(payload.get("cli_version")),
            source=payload.get("source", "vscode"),
            model_provider=text_or_none(payload.get("model_provider")),
            base_instructions=text_or_none(instructions),
            git=mapping(payload.get("git")) or None,
            agent_nickname=text_or_none(payload.get("agent_nickname")),
            agent_role=text_or_none(payload.get("agent_role")),
            raw=payload,
        )


class Replay:
    """Everything a rollout says, as of the lines fed so far. Lines of unknown types are passed over."""

    def __init__(self) -> None:
        self.meta: SessionMeta | None = None
        self.history: list[StoredItem] = []
        self.last_turn_context: dict[str, Any] | None = None
        self.settings_applied: dict[str, Any] | None = None
        """The settings that were last changed between turns."""
        self.told_since = False
        """Whether a turn context is newer than they are."""
        self.name: str | None = None
        self._shown = ShownTurns()
        self._index = -1
        self._preview: str | None = None
        self._said: str | None = None
        self._usage: dict[str, Any] | None = None
        self._usage_turn: str | None = None
        # how much of the history is what the last compaction put there, and the summary in it
        self._compacted = 0
        self._summary: str | None = None
        self._untold = False
        self._types: dict[str, Callable[[dict[str, Any]], None]] = {
            "response_item": self._response_item,
            "event_msg": self._event,
            "turn_context": self._turn_context,
            "compacted": self._compaction,
            "session_meta": self._session_meta,
        }

    def feed(self, line: Line) -> None:
        """Take the next line. Its payload belongs to the replay from now on."""
        self._index += 1
        take = self._types.get(line.type)
        if take is not None:
            take(line.payload)

    def completed_history(self) -> list[StoredItem]:
        """The history with an output `aborted` for each call that was never answered, so that models accept it."""
        return with_aborted_outputs(self.history)

    def turns(self, live_turn_id: str | None = None) -> list[Turn]:
        """The shown turns, oldest first. One without an end is interrupted, unless it is named as live."""
        return [turn.build(turn.id == live_turn_id) for turn in self._shown.turns]

    @property
    def preview(self) -> str:
        """The first thing the user said; "" if nothing yet. A rollback does not change it."""
        return self._preview or self._said or ""

    @property
    def token_usage(self) -> dict[str, Any] | None:
        """The `info` of the last token count (total_token_usage, last_token_usage, ...), with its `turn_id` added."""
        return None if self._usage is None else {**self._usage, "turn_id": self._usage_turn}

    @property
    def summary(self) -> str | None:
        """The message that the last compaction left in the history; None if there was none."""
        return self._summary

    @property
    def told_context(self) -> dict[str, Any] | None:
        """The settings that the model knows of: those of the last turn, unless a compaction took them from its history."""
        return None if self._untold else self.last_turn_context

    @property
    def ended_interrupted(self) -> bool:
        """Whether the last turn was cut off: started, and nothing tells how it ended."""
        turns = self._shown.turns
        return bool(turns) and turns[-1].end is None

    def _session_meta(self, payload: dict[str, Any]) -> None:
        meta = SessionMeta.of(payload)
        # a fork also has the line of the thread it came from; a second line of its own updates the first
        if meta is not None and (self.meta is None or meta.id == self.meta.id):
            self.meta = meta

    def _turn_context(self, payload: dict[str, Any]) -> None:
        self.last_turn_context = payload
        self._untold = False
        self.told_since = True
        if self._shown.current is not None:
            self._shown.current.context = payload

    def _response_item(self, payload: dict[str, Any]) -> None:
        item = stored(payload)
        if item is None:
            return
        self.history.append(item)
        if self._said is None and self._preview is None and item.role == "user" and is_user_message(item):
            self._said = text_of(item).strip()

    def _event(self, payload: dict[str, Any]) -> None:
        match payload.get("type"):
            case "token_count":
                info = mapping(payload.get("info"))
                if info:
                    self._usage = info
                    self._usage_turn = self._shown.last_id
            case "thread_name_updated":
                # a fork's file repeats lines of its source, whose name is not the fork's
                of = payload.get("thread_id")
                if self.meta is None or of is None or of == self.meta.id:
                    self.name = text_or_none(payload.get("thread_name"))
            case "thread_settings_applied":
                self.settings_applied = mapping(payload.get("thread_settings")) or None
                self.told_since = False
            case "thread_rolled_back":
                count = payload.get("num_turns")
                if isinstance(count, int):
                    self._roll_back(count)
            case kind:
                if self._preview is None:
                    self._look_for_preview(kind, payload)
                length = len(self.history)
                follows_user = length > 0 and self.history[-1].role == "user"
                self._shown.feed(
                    payload, self._index, length, length - 1 if follows_user else length, self.last_turn_context
                )

    def _look_for_preview(self, kind: object, payload: dict[str, Any]) -> None:
        said = ""
        if kind == "user_message":
            said = text(payload.get("message"))
        elif kind == "item_completed":
            item = mapping(payload.get("item"))
            if item.get("type") in ("UserMessage", "userMessage"):
                said = "".join(text(mapping(part).get("text")) for part in sequence(item.get("content")))
        self._preview = said.rpartition(_REQUEST_MARK)[2].strip() or None

    def _compaction(self, payload: dict[str, Any]) -> None:
        replacement = payload.get("replacement_history")
        self._summary = text_or_none(payload.get("message"))
        if is_sequence(replacement):
            kept = [stored(mapping(item)) for item in replacement]
            self.history = [item for item in kept if item is not None]
        else:  # older versions stored the summary alone: what the user said is kept beside it
            self.history = [item for item in self.history if is_user_message(item)]
            if self._summary:
                self.history.append(said_by_user(self._summary))
        self._compacted = len(self.history)
        self._untold = True
        for turn in self._shown.turns:
            turn.history_start = None

    def _roll_back(self, count: int) -> None:
        dropped = self._shown.drop(count)
        if not dropped:
            return
        first = dropped[0]
        start = self._start_after_compaction(dropped) if first.history_start is None else first.history_start
        if self._shown.turns:
            self.last_turn_context = first.context_before
        else:
            # what opens the thread for the model stays, and with it the settings it tells of
            while start < len(self.history) and is_context(self.history[start]):
                start += 1
            self.last_turn_context = first.context or first.context_before
        del self.history[start:]
        self._compacted = min(self._compacted, start)
        if self._shown.turns and self._usage is not None:
            self._usage_turn = self._shown.last_id

    def _start_after_compaction(self, dropped: list[ShownTurn]) -> int:
        """Where to cut when turns from before a compaction go: before what is left of their user messages."""
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
