"""What a turn comes to: the result that `run` and `wait` return, and that the errors of a turn have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from spindle.actors.thread.turns.watch import FinishedTurn
from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.interface import Usage
from spindle.rpc.protocol.items import AgentMessageItem, ThreadItem
from spindle.rpc.protocol.turns import TurnError, TurnStatus

T_co = TypeVar("T_co", covariant=True)


@frozen
class TurnResult(Generic[T_co]):
    """A turn as it ended and is recorded, whichever of its events were read."""

    id: str
    output: T_co
    """The answer: `text`, or the value that it stands for if the turn was given an `output_type`."""
    text: str
    """The agent's last message; "" if there is none."""
    items: Sequence[ThreadItem]
    """All items of the turn, complete, in order: messages, reasoning, commands, changes of files, calls of tools.

    Their ids are those of the events. If the turn ran before anything in this process had asked for it, all ids are those that
    a stored thread is shown with.
    """
    usage: Usage | None
    """The tokens of all the turn's requests to the model, without those of agents; None if the provider has reported none."""
    status: TurnStatus
    """How it ended: "completed", "interrupted" or "failed"."""
    diff: str
    """All changes that the turn's patches made to files, as one unified diff; "" if there are none."""
    error: TurnError | None
    """Why it failed; None if it did not."""
    started_at: int | None
    """Unix seconds."""
    completed_at: int | None
    """Unix seconds."""
    duration_ms: int | None
    """Milliseconds from its start to the end of its work."""


def result_of(finished: FinishedTurn) -> TurnResult[str]:
    """The result of a turn that has ended."""
    turn, text = finished.turn, ""
    for item in finished.items:
        if isinstance(item, AgentMessageItem):
            text = item.text
    return TurnResult(
        id=turn.id,
        output=text,
        text=text,
        items=finished.items,
        usage=finished.usage,
        status=turn.status,
        diff=finished.diff,
        error=turn.error,
        started_at=turn.started_at,
        completed_at=turn.completed_at,
        duration_ms=turn.duration_ms,
    )
