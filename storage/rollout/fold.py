"""The state that all readers of a rollout fold in the same way: its turns, and the values in force after the last line.

`RolloutReplay` reads everything, `outline` only positions. Both use this fold, so they agree on what a rollback removes. They
decide what to keep of a context or a token count: the value or its position.
"""

from __future__ import annotations

from typing import Any

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import Json, is_mapping, mapping, text, text_or_none
from spindle.storage.rollout.turns import ShownTurn, ShownTurns


@frozen
class SessionMeta:
    """The `session_meta` line of a rollout; `raw` is its whole payload, `source` is JSON (usually a string)."""

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
        """The metadata in a payload, or None if it has no thread id."""
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


class Fold:
    """The state after the lines so far."""

    def __init__(self, *, light: bool = False) -> None:
        self.shown = ShownTurns(light=light)
        self.meta_id: str | None = None
        self.context: Any = None
        """The last turn context still in force."""
        self.context_removed = False
        """Whether a compaction has removed the context from the model's history."""
        self.settings: Any = None
        """The settings last changed between turns."""
        self.context_newer = False
        """Whether a turn context is newer than these settings."""
        self.usage: Any = None
        """The last token count with values."""
        self.usage_turn: str | None = None
        self.name: str | None = None

    def own_meta(self, id: str) -> bool:
        """Whether a session_meta with this id belongs to the thread: a fork also has the line of its source."""
        if self.meta_id is None:
            self.meta_id = id
        return id == self.meta_id

    def in_context(self, context: Any) -> None:
        """A turn context was written."""
        self.context = context
        self.context_removed, self.context_newer = False, True
        if self.shown.current is not None:
            self.shown.current.context = context

    def applied(self, settings: Any) -> None:
        """Settings were changed between turns."""
        self.settings, self.context_newer = settings, False

    def compacted(self) -> None:
        """The model's history was replaced by a summary."""
        self.context_removed = True

    def spent(self, usage: Any) -> None:
        """Tokens were counted."""
        self.usage, self.usage_turn = usage, self.shown.last_id

    def named(self, event: Json) -> None:
        """The thread was named. A fork's file repeats lines of its source, whose name is not the fork's."""
        of = event.get("thread_id")
        if self.meta_id is None or of is None or of == self.meta_id:
            self.name = text_or_none(event.get("thread_name"))

    def roll_back(self, event: Json) -> list[ShownTurn]:
        """The last turns are rolled back; returns them, oldest first."""
        count = event.get("num_turns")
        dropped = self.shown.drop(count) if isinstance(count, int) else []
        if dropped:
            first = dropped[0]
            if self.shown.turns:
                self.context = first.context_before
                if self.usage is not None:
                    self.usage_turn = self.shown.last_id
            else:
                # the opening messages of the thread stay, with the settings in them
                self.context = first.context or first.context_before
        return dropped
