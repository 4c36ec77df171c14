"""The life of a thread: each state with each event, and invariants over random events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.state_diagrams import state_diagram

from spindle.actors.thread.life import LEAVES, LIFE, Life, ThreadEffect, ThreadEvent, ThreadState, WrongThreadEvent

# "-" is what cannot happen
TABLE = """
              loading  cold           subscribed           lingering            unwatched            ending             ended
load          cold     -              -                    -                    -                    -                  -
join          -        unwatched      subscribed           lingering            unwatched            -                  -
subscribe     -        -              subscribed           subscribed           subscribed           -                  -
empty         -        -              unwatched+interrupt  unwatched+interrupt  unwatched+interrupt  -                  -
empty_for_now -        -              lingering+delay      lingering+delay      unwatched            -                  -
delay_over    -        -              subscribed           unwatched+interrupt  unwatched            ending             -
unused        -        cold+retire    -                    -                    unwatched+retire     -                  -
stop          -        ending+end     ending+end           ending+end           ending+end           -                  -
turn_ended    -        -              subscribed+next      lingering+next       unwatched+next       ending+refuse+end  -
release       ended    ended          ended                ended                ended                ended              -
"""


def cells():
    states, *rows = (line.split() for line in TABLE.strip("\n").splitlines())
    assert states == [state.name.lower() for state in ThreadState]
    assert [row[0] for row in rows] == [event.name.lower() for event in ThreadEvent]
    for event, *row in rows:
        for state, cell in zip(states, row, strict=True):
            yield pytest.param(ThreadState[state.upper()], ThreadEvent[event.upper()], cell, id=f"{state}-{event}")


@pytest.mark.parametrize(("state", "event", "expected"), list(cells()))
def test_each_event_in_each_state(state, event, expected):
    life = Life(state)
    if expected == "-":
        with pytest.raises(WrongThreadEvent, match=f"a thread that is {state.value} cannot have the event: {event.value}"):
            life.on(event)
        assert life.state is state
        return
    then, *effects = expected.upper().split("+")
    assert life.on(event) == tuple(ThreadEffect[effect] for effect in effects)
    assert life.state is ThreadState[then]


class Play:
    """A thread that has nothing but its life, and counts what keeps it. What its life must not do raises."""

    def __init__(self):
        self.life = Life()
        self.subscribers = self.waiting = 0
        self.turn = self.held = self.stopped = False
        self.awaited = False
        """A client may come back, and the time for that is not over."""
        self.delays = []
        self.effects = []
        self.on(ThreadEvent.LOAD)

    @property
    def kept(self):
        return bool(self.subscribers or self.turn or self.waiting or self.held)

    def on(self, event):
        for effect in self.life.on(event):
            self.effects.append(effect)
            match effect:
                case ThreadEffect.RETIRE:
                    assert not self.kept
                    assert not self.awaited
                case ThreadEffect.DELAY:
                    assert not self.subscribers
                    self.delays.append(self.life.delay)
                case ThreadEffect.INTERRUPT:
                    assert not self.subscribers
                case ThreadEffect.NEXT if self.waiting:
                    self.turn, self.waiting = True, self.waiting - 1
                case ThreadEffect.REFUSE:
                    self.waiting = 0
                case ThreadEffect.END if not self.turn:
                    self.stopped = True

    # -- what messages do

    def client(self):
        self.on(ThreadEvent.JOIN)
        self.on(ThreadEvent.SUBSCRIBE)
        self.subscribers += 1
        self.awaited = False

    def refused(self):
        self.on(ThreadEvent.JOIN)

    def parent(self):
        self.on(ThreadEvent.JOIN)
        self.held = True

    def leave(self, *, later=False):
        if self.subscribers:
            self.subscribers -= 1
            self.awaited = later and not self.subscribers
            self.emptied(later)

    def lose(self):
        self.leave(later=True)

    def release(self, *, later=False):
        if self.held:
            self.held = False
            self.awaited &= later  # without a delay it is waited for no longer
            self.emptied(later)

    def emptied(self, later):
        if not self.subscribers:
            self.on(ThreadEvent.EMPTY_FOR_NOW if later else ThreadEvent.EMPTY)

    def begin(self):
        if self.turn:
            self.waiting += 1
        elif self.life.state is not ThreadState.COLD:
            self.turn = True

    def end_turn(self):
        if self.turn:
            self.turn = False
            self.on(ThreadEvent.TURN_ENDED)

    def timer(self):
        """The oldest timer that runs; only that of the last delay is an event."""
        if self.delays and self.delays.pop(0) == self.life.delay:
            self.awaited = False
            self.on(ThreadEvent.DELAY_OVER)

    def stop(self):
        self.on(ThreadEvent.STOP)

    def message(self, name):
        """Handle a message as the actor does. The first one joins it; told to stop, it gets only its own messages."""
        state = self.life.state
        if state is ThreadState.ENDING and name not in ("end_turn", "timer"):
            return
        if state is ThreadState.COLD and name not in ("client", "refused", "parent", "stop"):
            return
        self.effects = []
        getattr(self, name)()
        if self.life.state in LEAVES and not self.kept:
            self.on(ThreadEvent.UNUSED)


MESSAGES = ["client", "refused", "parent", "leave", "lose", "release", "begin", "end_turn", "timer"]


@given(st.lists(st.sampled_from([*MESSAGES, "stop"])))
def test_a_thread_leaves_when_nothing_keeps_it_and_only_then(messages):
    thread = Play()
    for name in messages:
        if thread.stopped:
            break
        thread.message(name)
        state = thread.life.state
        if state not in (ThreadState.COLD, ThreadState.ENDING):
            assert (state is ThreadState.SUBSCRIBED) is (thread.subscribers > 0)
            assert (state is ThreadState.LINGERING) is thread.awaited
            assert (ThreadEffect.RETIRE in thread.effects) is not (thread.kept or thread.awaited)
    thread.on(ThreadEvent.RELEASE)
    assert thread.life.state is ThreadState.ENDED
    for event in ThreadEvent:
        with pytest.raises(WrongThreadEvent):
            thread.life.on(event)


@given(st.lists(st.sampled_from(MESSAGES)))
def test_a_stopped_thread_ends_with_its_turn_and_refuses_waiting_requests(messages):
    thread = Play()
    for name in messages:
        thread.message(name)
    thread.message("stop")
    assert thread.stopped is not thread.turn
    thread.message("timer")
    thread.message("end_turn")
    assert thread.stopped
    assert not thread.waiting


def test_an_older_delay_is_no_event():
    life = Life()
    for event in (ThreadEvent.LOAD, ThreadEvent.JOIN, ThreadEvent.SUBSCRIBE, ThreadEvent.EMPTY_FOR_NOW):
        life.on(event)
    first = life.delay
    life.on(ThreadEvent.SUBSCRIBE)
    assert life.delay == first
    life.on(ThreadEvent.EMPTY_FOR_NOW)
    assert life.delay == first + 1


def test_the_life_can_be_drawn():
    drawn = state_diagram(LIFE, ThreadState.LOADING).splitlines()
    assert drawn[:4] == ["```mermaid", "stateDiagram-v2", "    [*] --> loading", "    loading --> cold: load"]
    assert "    lingering --> subscribed: subscribe" in drawn
    assert "    unwatched --> unwatched: unused / ask the registry for leave" in drawn
    assert drawn[-2:] == ["    ended --> [*]", "```"]
