"""The life of a turn: one table of states, events and effects. Nothing here waits or does I/O.

The caller keeps the state, asks `after` what an event makes of it, and carries out the effects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, TypeAlias


class TurnState(Enum):
    """Where a turn is."""

    __hash__ = object.__hash__  # members are compared by identity; the hash of Enum is a call in Python

    OPENING = "opening"
    """Its record (the rollout) is not open yet. Input may join."""
    RUNNING = "running"
    """Its record is open. Input may join."""
    CLOSING = "closing"
    """It takes no more input and does its last work."""
    ABORTING = "aborting"
    """It was interrupted before its record was open."""
    INTERRUPTING = "interrupting"
    """It was interrupted, and its record is open."""
    RECORDING = "recording"
    """Its work is over. Its end is being recorded and notified."""
    SUSPENDING = "suspending"
    """It waits for an answer that does not come here: its work is being cancelled, and its record stays without an end."""
    DEFERRING = "deferring"
    """A suspended turn that was to go on is left again, before its record is open."""
    LEAVING = "leaving"
    """Its work is over, and it goes on when the thread is next loaded."""
    REPORTING = "reporting"
    """Its work is over, and it has no record: its end is only notified."""
    ENDED = "ended"
    """Its end is recorded and notified. The thread has not handled that yet, so the next turn waits."""
    RELEASED = "released"
    """The thread has handled its end. The next turn may start."""


class TurnEvent(Enum):
    """What happens to a turn. `INTERRUPT` may come at any time, `SUSPEND` before it closes, the others come from its task."""

    __hash__ = object.__hash__  # members are compared by identity; the hash of Enum is a call in Python

    OPEN = "open"
    """The record is open."""
    CLOSE = "close"
    """The turn wants no more input."""
    INTERRUPT = "interrupt"
    """A client, the thread or the last caller ends the turn now."""
    SUSPEND = "suspend"
    """The thread leaves a turn that waits for an answer. What it needs to go on is stored."""
    FINISH = "finish"
    """The work is over: done, failed or cancelled."""
    END = "end"
    """Everything of it is recorded and notified, or cannot be."""
    RELEASE = "release"
    """The thread handles the end of the turn."""


class TurnEffect(Enum):
    """What the caller does when the state has changed."""

    CANCEL = "cancel the work"
    ADMIT = "wake what waits for the record"
    ANSWER = "answer the callers that wait for the end"
    WAKE = "wake what waits for the release"


class WrongTurnEvent(Exception):
    """An event that cannot happen in a state: a fault of the program."""

    def __init__(self, state: TurnState, event: TurnEvent) -> None:
        super().__init__(f"a turn that is {state.value} cannot {event.value}")


_S, _E, _F = TurnState, TurnEvent, TurnEffect

Table: TypeAlias = Mapping[tuple[TurnState, TurnEvent], tuple[TurnState, Sequence[TurnEffect]]]

LIFE: Final[Table] = {
    (_S.OPENING, _E.OPEN): (_S.RUNNING, (_F.ADMIT,)),
    (_S.OPENING, _E.INTERRUPT): (_S.ABORTING, (_F.CANCEL,)),
    (_S.OPENING, _E.FINISH): (_S.REPORTING, (_F.ADMIT,)),
    (_S.OPENING, _E.SUSPEND): (_S.DEFERRING, (_F.CANCEL,)),
    (_S.RUNNING, _E.CLOSE): (_S.CLOSING, ()),
    (_S.RUNNING, _E.INTERRUPT): (_S.INTERRUPTING, (_F.CANCEL,)),
    (_S.RUNNING, _E.SUSPEND): (_S.SUSPENDING, (_F.CANCEL,)),
    (_S.RUNNING, _E.FINISH): (_S.RECORDING, ()),
    (_S.CLOSING, _E.CLOSE): (_S.CLOSING, ()),
    (_S.CLOSING, _E.INTERRUPT): (_S.INTERRUPTING, (_F.CANCEL,)),
    (_S.CLOSING, _E.FINISH): (_S.RECORDING, ()),
    (_S.ABORTING, _E.OPEN): (_S.INTERRUPTING, (_F.ADMIT,)),  # clients know of the turn: it is recorded all the same
    (_S.ABORTING, _E.INTERRUPT): (_S.ABORTING, ()),
    (_S.ABORTING, _E.FINISH): (_S.REPORTING, (_F.ADMIT,)),
    (_S.INTERRUPTING, _E.CLOSE): (_S.INTERRUPTING, ()),
    (_S.INTERRUPTING, _E.INTERRUPT): (_S.INTERRUPTING, ()),
    (_S.INTERRUPTING, _E.FINISH): (_S.RECORDING, ()),
    (_S.SUSPENDING, _E.CLOSE): (_S.SUSPENDING, ()),
    (_S.SUSPENDING, _E.INTERRUPT): (_S.SUSPENDING, ()),  # nothing of it is recorded any more, its end neither
    (_S.SUSPENDING, _E.FINISH): (_S.LEAVING, ()),
    (_S.DEFERRING, _E.INTERRUPT): (_S.DEFERRING, ()),
    (_S.DEFERRING, _E.FINISH): (_S.LEAVING, (_F.ADMIT,)),
    (_S.LEAVING, _E.INTERRUPT): (_S.LEAVING, ()),
    (_S.LEAVING, _E.END): (_S.ENDED, (_F.ANSWER,)),
    (_S.RECORDING, _E.INTERRUPT): (_S.RECORDING, ()),
    (_S.RECORDING, _E.END): (_S.ENDED, (_F.ANSWER,)),
    (_S.REPORTING, _E.INTERRUPT): (_S.REPORTING, ()),
    (_S.REPORTING, _E.END): (_S.ENDED, (_F.ANSWER,)),
    (_S.ENDED, _E.INTERRUPT): (_S.ENDED, ()),
    (_S.ENDED, _E.RELEASE): (_S.RELEASED, (_F.WAKE,)),
    (_S.RELEASED, _E.INTERRUPT): (_S.RELEASED, ()),
}
"""What each event makes of each state. What is not in it cannot happen."""

FIRST: Final = TurnState.OPENING

TAKES_INPUT: Final = frozenset({_S.OPENING, _S.RUNNING})
"""Input that comes now is still sent to the model in this turn."""

AT_WORK: Final = frozenset({_S.OPENING, _S.RUNNING, _S.CLOSING, _S.ABORTING, _S.INTERRUPTING})
"""The work is not over: a request to interrupt the turn names a turn that runs."""

STOPPING: Final = frozenset({_S.ABORTING, _S.INTERRUPTING, _S.SUSPENDING, _S.DEFERRING})
"""It was interrupted or suspended, and its work has not ended yet."""

SUSPENDED: Final = frozenset({_S.SUSPENDING, _S.DEFERRING, _S.LEAVING})
"""Nothing more of it is recorded or notified: it goes on when the thread is next loaded."""

RECORDED: Final = frozenset({_S.RUNNING, _S.CLOSING, _S.INTERRUPTING, _S.RECORDING})
"""Its record is open: its end has to be written."""


def after(state: TurnState, event: TurnEvent) -> tuple[TurnState, Sequence[TurnEffect]]:
    """(the state after `event`, what the caller has to do). Raises WrongTurnEvent."""
    step = LIFE.get((state, event))
    if step is None:
        raise WrongTurnEvent(state, event)
    return step
