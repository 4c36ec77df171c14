"""What an `Instrument` is called with: a record for each thing that begins, and one for how it ended."""

from spindle.actors.services.instruments import (
    Instrument,
    Purpose,
    QuestionInfo,
    QuestionOutcome,
    RequestInfo,
    RequestOutcome,
    ThreadInfo,
    ToolInfo,
    ToolKind,
    ToolOutcome,
    TurnInfo,
    TurnKind,
    TurnOutcome,
)

__all__ = [
    "Instrument",
    "Purpose",
    "QuestionInfo",
    "QuestionOutcome",
    "RequestInfo",
    "RequestOutcome",
    "ThreadInfo",
    "ToolInfo",
    "ToolKind",
    "ToolOutcome",
    "TurnInfo",
    "TurnKind",
    "TurnOutcome",
]
