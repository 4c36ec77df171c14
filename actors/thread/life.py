"""The life of a thread in memory: one table of states, events and effects. Nothing here waits or does I/O.

A thread does not return by itself. When nothing keeps it, it asks the registry for leave (`RETIRE`) and handles messages
until the registry sends it `Stop`. The caller passes each event to `Life.on` and carries out the effects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, TypeAlias

from attrs import define


class ThreadState(Enum):
    """Where a thread is."""

    __hash__ = object.__hash__  # members are compared by identity; the hash of Enum is a call in Python

    LOADING = "loading"
    """It is being loaded and handles no messages yet."""
    COLD = "cold"
    """It is loaded. No client and no parent has joined it yet."""
    SUBSCRIBED = "subscribed"
    """It has subscribers."""
    LINGERING = "lingering"
    """Its last subscriber has left. It waits some time for a client to come back."""
    UNWATCHED = "unwatched"
    """It has no subscriber and waits for none. It leaves when nothing else keeps it."""
    ENDING = "ending"
    """The registry has sent it `Stop`. Its turn is being recorded."""
    ENDED = "ended"
    """It has released its files. It emits nothing any more."""


class ThreadEvent(Enum):
    """What happens to a thread."""

    __hash__ = object.__hash__  # members are compared by identity; the hash of Enum is a call in Python

    LOAD = "load"
    """Its state is in memory."""
    JOIN = "join"
    """A client or a parent asks to join it. This may still fail."""
    SUBSCRIBE = "subscribe"
    """A subscriber is added."""
    EMPTY = "empty"
    """An unsubscribe or a release leaves no subscriber, and no delay is set."""
    EMPTY_FOR_NOW = "empty for now"
    """An unsubscribe or a release leaves no subscriber, and a delay is set."""
    DELAY_OVER = "delay over"
    """The delay that began last has passed."""
    UNUSED = "unused"
    """A message is handled, and there is no subscriber, turn, waiting request, parent or working agent."""
    STOP = "stop"
    """The registry ends the thread."""
    TURN_ENDED = "turn ended"
    """The record of the running turn is closed."""
    RELEASE = "release"
    """The thread's files are released: its last act, also after a crash."""


class ThreadEffect(Enum):
    """What the caller does when the state has changed."""

    DELAY = "start the delay"
    INTERRUPT = "interrupt a turn that is to end without clients"
    RETIRE = "ask the registry for leave"
    END = "interrupt the turn, or stop where none runs"
    NEXT = "handle the requests that waited for the turn"
    REFUSE = "refuse the requests that waited for the turn"


class WrongThreadEvent(Exception):
    """An event that cannot happen in a state: a fault of the program."""

    def __init__(self, state: ThreadState, event: ThreadEvent) -> None:
        super().__init__(f"a thread that is {state.value} cannot have the event: {event.value}")


_S, _E, _F = ThreadState, ThreadEvent, ThreadEffect

Table: TypeAlias = Mapping[tuple[ThreadState, ThreadEvent], tuple[ThreadState, Sequence[ThreadEffect]]]

LIFE: Final[Table] = {
    (_S.LOADING, _E.LOAD): (_S.COLD, ()),
    (_S.LOADING, _E.RELEASE): (_S.ENDED, ()),
    (_S.COLD, _E.JOIN): (_S.UNWATCHED, ()),
    (_S.COLD, _E.UNUSED): (_S.COLD, (_F.RETIRE,)),
    (_S.COLD, _E.STOP): (_S.ENDING, (_F.END,)),
    (_S.COLD, _E.RELEASE): (_S.ENDED, ()),
    (_S.SUBSCRIBED, _E.JOIN): (_S.SUBSCRIBED, ()),
    (_S.SUBSCRIBED, _E.SUBSCRIBE): (_S.SUBSCRIBED, ()),
    (_S.SUBSCRIBED, _E.EMPTY): (_S.UNWATCHED, (_F.INTERRUPT,)),
    (_S.SUBSCRIBED, _E.EMPTY_FOR_NOW): (_S.LINGERING, (_F.DELAY,)),
    (_S.SUBSCRIBED, _E.DELAY_OVER): (_S.SUBSCRIBED, ()),  # a client has come back
    (_S.SUBSCRIBED, _E.STOP): (_S.ENDING, (_F.END,)),
    (_S.SUBSCRIBED, _E.TURN_ENDED): (_S.SUBSCRIBED, (_F.NEXT,)),
    (_S.SUBSCRIBED, _E.RELEASE): (_S.ENDED, ()),
    (_S.LINGERING, _E.JOIN): (_S.LINGERING, ()),
    (_S.LINGERING, _E.SUBSCRIBE): (_S.SUBSCRIBED, ()),
    (_S.LINGERING, _E.EMPTY): (_S.UNWATCHED, (_F.INTERRUPT,)),
    (_S.LINGERING, _E.EMPTY_FOR_NOW): (_S.LINGERING, (_F.DELAY,)),
    (_S.LINGERING, _E.DELAY_OVER): (_S.UNWATCHED, (_F.INTERRUPT,)),
    (_S.LINGERING, _E.STOP): (_S.ENDING, (_F.END,)),
    (_S.LINGERING, _E.TURN_ENDED): (_S.LINGERING, (_F.NEXT,)),
    (_S.LINGERING, _E.RELEASE): (_S.ENDED, ()),
    (_S.UNWATCHED, _E.JOIN): (_S.UNWATCHED, ()),
    (_S.UNWATCHED, _E.SUBSCRIBE): (_S.SUBSCRIBED, ()),
    (_S.UNWATCHED, _E.EMPTY): (_S.UNWATCHED, (_F.INTERRUPT,)),  # its parent has released it
    (_S.UNWATCHED, _E.EMPTY_FOR_NOW): (_S.UNWATCHED, ()),  # it waits for no client, so there is no delay to start
    (_S.UNWATCHED, _E.DELAY_OVER): (_S.UNWATCHED, ()),  # another client has left since
    (_S.UNWATCHED, _E.UNUSED): (_S.UNWATCHED, (_F.RETIRE,)),
    (_S.UNWATCHED, _E.STOP): (_S.ENDING, (_F.END,)),
    (_S.UNWATCHED, _E.TURN_ENDED): (_S.UNWATCHED, (_F.NEXT,)),
    (_S.UNWATCHED, _E.RELEASE): (_S.ENDED, ()),
    (_S.ENDING, _E.DELAY_OVER): (_S.ENDING, ()),
    (_S.ENDING, _E.TURN_ENDED): (_S.ENDING, (_F.REFUSE, _F.END)),
    (_S.ENDING, _E.RELEASE): (_S.ENDED, ()),
}
"""What each event makes of each state. What is not in it cannot happen."""

LEAVES: Final = frozenset({_S.COLD, _S.UNWATCHED})
"""No subscriber is waited for: the thread leaves when nothing else keeps it."""

WATCHED: Final = frozenset({_S.SUBSCRIBED, _S.LINGERING})
"""It has subscribers, or waits for them to come back."""


@define(eq=False)
class Life:
    """The state of one thread. `delay` is the number of the delay that began last; an older one is not an event."""

    state: ThreadState = ThreadState.LOADING
    delay: int = 0

    def on(self, event: ThreadEvent) -> Sequence[ThreadEffect]:
        """Change the state; returns what the caller has to do. Raises WrongThreadEvent; the state stays then."""
        step = LIFE.get((self.state, event))
        if step is None:
            raise WrongThreadEvent(self.state, event)
        self.state, effects = step
        if ThreadEffect.DELAY in effects:
            self.delay += 1
        return effects
