"""The timeline of a thread: its items and the boundaries of its turns in one list. From Codex 0.171.

Its schema spells members of the boundaries with underscores, and its server does not; both spellings are sent.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32, JsonObject, Tagged
from spindle.rpc.protocol.turns import TurnError, TurnStatus

_UNDERSCORES: Final[Mapping[str, Mapping[str, str]]] = {
    name: {"wire": name} for name in ("turn_id", "started_at", "completed_at", "duration_ms")
}


@frozen
class ThreadTimelineListParams:
    """Page through a thread's timeline: the first page is its end, the next ones come before. Each page ascends."""

    thread_id: str
    cursor: str | None = None
    limit: U32 | None = None


@frozen(kw_only=True)
class ItemThreadTimelineEntry:
    """An item. `position` orders the entries of a thread."""

    type: Literal["item"] = field(default="item", init=False)
    position: int
    turn_id: str
    item: JsonObject


@frozen(kw_only=True)
class TurnStartedThreadTimelineEntry:
    """The beginning of a turn; Unix seconds."""

    type: Literal["turnStarted"] = field(default="turnStarted", init=False)
    position: int
    turn_id: str
    started_at: int | None
    schema_turn_id: str = field(metadata=_UNDERSCORES["turn_id"])
    schema_started_at: int | None = field(metadata=_UNDERSCORES["started_at"])

    @classmethod
    def of(cls, position: int, turn: Mapping[str, Any]) -> "TurnStartedThreadTimelineEntry":
        """That of a turn in the protocol's JSON."""
        id, at = turn["id"], turn["startedAt"]
        return cls(position=position, turn_id=id, started_at=at, schema_turn_id=id, schema_started_at=at)


@frozen(kw_only=True)
class TurnCompletedThreadTimelineEntry:
    """The end of a turn; Unix seconds and milliseconds."""

    type: Literal["turnCompleted"] = field(default="turnCompleted", init=False)
    position: int
    turn_id: str
    status: TurnStatus
    error: TurnError | JsonObject | None
    started_at: int | None
    completed_at: int | None
    duration_ms: int | None
    schema_turn_id: str = field(metadata=_UNDERSCORES["turn_id"])
    schema_started_at: int | None = field(metadata=_UNDERSCORES["started_at"])
    schema_completed_at: int | None = field(metadata=_UNDERSCORES["completed_at"])
    schema_duration_ms: int | None = field(metadata=_UNDERSCORES["duration_ms"])

    @classmethod
    def of(cls, position: int, turn: Mapping[str, Any]) -> "TurnCompletedThreadTimelineEntry":
        """That of a turn in the protocol's JSON."""
        id, started, completed, duration = (turn[name] for name in ("id", "startedAt", "completedAt", "durationMs"))
        return cls(
            position=position,
            turn_id=id,
            status=turn["status"],
            error=turn["error"],
            started_at=started,
            completed_at=completed,
            duration_ms=duration,
            schema_turn_id=id,
            schema_started_at=started,
            schema_completed_at=completed,
            schema_duration_ms=duration,
        )


ThreadTimelineEntry: TypeAlias = Annotated[
    ItemThreadTimelineEntry | TurnStartedThreadTimelineEntry | TurnCompletedThreadTimelineEntry,
    Tagged("ThreadTimelineEntry"),
]


@frozen
class ThreadTimelineListResponse:
    """One page, and the voice session that was open before it: always None."""

    data: Sequence[ThreadTimelineEntry]
    next_cursor: str | None = None
    active_realtime_session_at_page_start: str | None = None
