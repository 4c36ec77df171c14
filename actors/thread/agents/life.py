"""The life of an agent in its family: one table of states, events and effects. Nothing here waits or does I/O.

An agent is a member of its family from the moment it is admitted until it departs. Its parent's model gets one report of its
end for each time it was opened. `Family` and `Membership` pass the events and carry out the effects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, TypeAlias


class MemberState(Enum):
    """Where an agent is."""

    __hash__ = object.__hash__  # members are compared by identity; the hash of Enum is a call in Python

    ADMITTED = "admitted"
    """There is room for it. Its thread is not started yet."""
    OPEN = "open"
    """Its thread is loaded or loading. Its parent has no report of an end yet."""
    REPORTED = "reported"
    """Its thread is loaded, and its parent has the report. It may get more input."""
    CLOSING = "closing"
    """Its parent ends it, and with it the agents below it."""
    CLOSING_REPORTED = "closing reported"
    """The same, and its parent has the report."""
    ABANDONED = "abandoned"
    """It is not a member any more, as its start failed or was cancelled. Its thread, if there is one, is being ended."""
    GONE = "gone"
    """It is not a member any more."""


class MemberEvent(Enum):
    """What happens to an agent."""

    __hash__ = object.__hash__  # members are compared by identity; the hash of Enum is a call in Python

    ENTER = "enter"
    """Its thread has an id."""
    RUN = "run"
    """A turn begins."""
    REST = "rest"
    """A turn is interrupted. The parent may send it new input."""
    FINISH = "finish"
    """It has a final status: a turn completed or failed, or its thread has ended."""
    CLOSE = "close"
    """Its parent ends it."""
    ABANDON = "abandon"
    """Its start failed or was cancelled."""
    LEAVE = "leave"
    """Its thread has ended or is released, or a resume failed."""


class MemberEffect(Enum):
    """What the caller does when the state has changed."""

    WAKE = "wake the parent"
    REPORT = "wake the parent with a report"
    DEPART = "remove it from the family"


class WrongMemberEvent(Exception):
    """An event that cannot happen in a state: a fault of the program."""

    def __init__(self, state: MemberState, event: MemberEvent) -> None:
        super().__init__(f"an agent that is {state.value} cannot have the event: {event.value}")


_S, _E, _F = MemberState, MemberEvent, MemberEffect

Table: TypeAlias = Mapping[tuple[MemberState, MemberEvent], tuple[MemberState, Sequence[MemberEffect]]]

LIFE: Final[Table] = {
    (_S.ADMITTED, _E.ENTER): (_S.OPEN, ()),
    (_S.ADMITTED, _E.ABANDON): (_S.ABANDONED, (_F.DEPART,)),
    (_S.OPEN, _E.RUN): (_S.OPEN, ()),
    (_S.OPEN, _E.REST): (_S.OPEN, (_F.WAKE,)),
    (_S.OPEN, _E.FINISH): (_S.REPORTED, (_F.REPORT,)),
    (_S.OPEN, _E.CLOSE): (_S.CLOSING, ()),
    (_S.OPEN, _E.ABANDON): (_S.ABANDONED, (_F.DEPART,)),
    (_S.OPEN, _E.LEAVE): (_S.GONE, (_F.DEPART,)),
    (_S.REPORTED, _E.RUN): (_S.REPORTED, ()),
    (_S.REPORTED, _E.REST): (_S.REPORTED, (_F.WAKE,)),
    (_S.REPORTED, _E.FINISH): (_S.REPORTED, (_F.WAKE,)),
    (_S.REPORTED, _E.CLOSE): (_S.CLOSING_REPORTED, ()),
    (_S.REPORTED, _E.ABANDON): (_S.ABANDONED, (_F.DEPART,)),
    (_S.REPORTED, _E.LEAVE): (_S.GONE, (_F.DEPART,)),
    (_S.CLOSING, _E.RUN): (_S.CLOSING, ()),
    (_S.CLOSING, _E.REST): (_S.CLOSING, (_F.WAKE,)),
    (_S.CLOSING, _E.FINISH): (_S.CLOSING_REPORTED, (_F.REPORT,)),
    (_S.CLOSING, _E.CLOSE): (_S.CLOSING, ()),
    (_S.CLOSING, _E.ABANDON): (_S.ABANDONED, (_F.DEPART,)),
    (_S.CLOSING, _E.LEAVE): (_S.GONE, (_F.DEPART,)),
    (_S.CLOSING_REPORTED, _E.RUN): (_S.CLOSING_REPORTED, ()),
    (_S.CLOSING_REPORTED, _E.REST): (_S.CLOSING_REPORTED, (_F.WAKE,)),
    (_S.CLOSING_REPORTED, _E.FINISH): (_S.CLOSING_REPORTED, (_F.WAKE,)),
    (_S.CLOSING_REPORTED, _E.CLOSE): (_S.CLOSING_REPORTED, ()),
    (_S.CLOSING_REPORTED, _E.ABANDON): (_S.ABANDONED, (_F.DEPART,)),
    (_S.CLOSING_REPORTED, _E.LEAVE): (_S.GONE, (_F.DEPART,)),
    (_S.ABANDONED, _E.RUN): (_S.ABANDONED, ()),
    (_S.ABANDONED, _E.REST): (_S.ABANDONED, ()),
    (_S.ABANDONED, _E.FINISH): (_S.ABANDONED, ()),
    (_S.ABANDONED, _E.LEAVE): (_S.GONE, ()),
    # its thread may be held and released after the parent has given it up
    (_S.GONE, _E.RUN): (_S.GONE, ()),
    (_S.GONE, _E.REST): (_S.GONE, ()),
    (_S.GONE, _E.FINISH): (_S.GONE, ()),
    (_S.GONE, _E.ABANDON): (_S.GONE, ()),
    (_S.GONE, _E.LEAVE): (_S.GONE, ()),
}
"""What each event makes of each state. What is not in it cannot happen."""

FIRST: Final = MemberState.ADMITTED

ENDING: Final = frozenset({_S.CLOSING, _S.CLOSING_REPORTED, _S.ABANDONED})
"""The agent is being ended. The agents below it are ended too, and not released."""


def after(state: MemberState, event: MemberEvent) -> tuple[MemberState, Sequence[MemberEffect]]:
    """(the state after `event`, what the caller has to do). Raises WrongMemberEvent."""
    step = LIFE.get((state, event))
    if step is None:
        raise WrongMemberEvent(state, event)
    return step
