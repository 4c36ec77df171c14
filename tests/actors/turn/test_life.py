"""The life of a turn: each state with each event, and invariants over random events."""

from types import SimpleNamespace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.state_diagrams import state_diagram

from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.turn.host import TurnInput
from spindle.actors.turn.life import (
    AT_WORK,
    FIRST,
    LIFE,
    RECORDED,
    STOPPING,
    SUSPENDED,
    TAKES_INPUT,
    TurnEffect,
    TurnEvent,
    TurnState,
    WrongTurnEvent,
    after,
)
from spindle.rpc.protocol.turns import TurnStartParams

# "-" is what cannot happen
TABLE = """
state        open               close        interrupt           suspend           finish          end          release
opening      running+admit      -            aborting+cancel     deferring+cancel  reporting+admit -            -
running      -                  closing      interrupting+cancel suspending+cancel recording       -            -
closing      -                  closing      interrupting+cancel -                 recording       -            -
aborting     interrupting+admit -            aborting            -                 reporting+admit -            -
interrupting -                  interrupting interrupting        -                 recording       -            -
recording    -                  -            recording           -                 -               ended+answer -
suspending   -                  suspending   suspending          -                 leaving         -            -
deferring    -                  -            deferring           -                 leaving+admit   -            -
leaving      -                  -            leaving             -                 -               ended+answer -
reporting    -                  -            reporting           -                 -               ended+answer -
ended        -                  -            ended               -                 -               -            released+wake
released     -                  -            released            -                 -               -            -
"""


def cells():
    names, *rows = (line.split() for line in TABLE.strip().splitlines())
    assert [row[0] for row in rows] == [state.value for state in TurnState]
    assert names[1:] == [event.value for event in TurnEvent]
    for row in rows:
        for name, cell in zip(names[1:], row[1:], strict=True):
            yield pytest.param(TurnState(row[0]), TurnEvent(name), cell, id=f"{row[0]}-{name}")


@pytest.mark.parametrize(("state", "event", "expected"), list(cells()))
def test_each_event_in_each_state(state, event, expected):
    if expected == "-":
        with pytest.raises(WrongTurnEvent, match=f"a turn that is {state.value} cannot {event.value}"):
            after(state, event)
        return
    then, *effects = expected.split("+")
    assert after(state, event) == (TurnState(then), tuple(TurnEffect[effect.upper()] for effect in effects))


class Flags:
    """The same life with a flag for each fact."""

    def __init__(self):
        self.recorded = self.closed = self.interrupted = self.suspended = self.finished = False

    def on(self, event):
        match event:
            case TurnEvent.OPEN:
                self.recorded = True
            case TurnEvent.CLOSE:
                self.closed = True
            case TurnEvent.INTERRUPT if not self.finished and not self.suspended:
                self.interrupted = True
            case TurnEvent.SUSPEND:
                self.suspended, self.recorded = True, False
            case TurnEvent.FINISH:
                self.finished = True
            case TurnEvent.END:
                self.recorded = False


@st.composite
def lives(draw):
    """A whole life: the events of the turn's task in their order, interrupts wherever they come, perhaps a suspension."""
    opened = draw(st.booleans())
    own = [TurnEvent.OPEN] if opened else []
    own += [TurnEvent.SUSPEND] if draw(st.booleans()) else []
    own += [TurnEvent.CLOSE] * (draw(st.integers(0, 2)) if opened else 0)
    own += [TurnEvent.FINISH, TurnEvent.END, TurnEvent.RELEASE]
    for at in draw(st.lists(st.integers(0, 7), max_size=4)):
        own.insert(at, TurnEvent.INTERRUPT)
    if TurnEvent.SUSPEND in own and TurnEvent.INTERRUPT in own[: own.index(TurnEvent.SUSPEND)]:
        own.remove(TurnEvent.SUSPEND)  # only a turn that runs is suspended
    return own


@given(lives())
def test_a_life_agrees_with_its_flags(events):
    state, flags = FIRST, Flags()
    for event in events:
        state, _ = after(state, event)
        flags.on(event)
        assert (state in AT_WORK) is not (flags.finished or flags.suspended)
        assert (state in TAKES_INPUT) is not (flags.finished or flags.closed or flags.interrupted or flags.suspended)
        assert (state in STOPPING) is ((flags.interrupted or flags.suspended) and not flags.finished)
        assert (state in SUSPENDED) >= (flags.suspended and not flags.finished)
        assert (state in RECORDED) is flags.recorded
    assert state is TurnState.RELEASED


@given(lives())
def test_each_effect_is_due_at_its_time_and_once(events):
    state = FIRST
    effects: list[TurnEffect] = []
    for event in events:
        working = state in AT_WORK
        state, now = after(state, event)
        assert TurnEffect.CANCEL not in now or working
        effects += now
    assert [effect for effect in effects if effect is not TurnEffect.CANCEL] == [
        TurnEffect.ADMIT,
        TurnEffect.ANSWER,
        TurnEffect.WAKE,
    ]
    working = events[: events.index(TurnEvent.FINISH)]
    stopped = {TurnEvent.INTERRUPT, TurnEvent.SUSPEND}
    assert effects.count(TurnEffect.CANCEL) == (not stopped.isdisjoint(working))


@given(st.lists(st.sampled_from(TurnEvent), max_size=30))
def test_no_state_is_entered_twice_and_a_wrong_event_changes_nothing(events):
    state, been = FIRST, [FIRST]
    for event in events:
        if (state, event) not in LIFE:
            with pytest.raises(WrongTurnEvent):
                after(state, event)
            continue
        then, _ = after(state, event)
        if then is not state:
            assert then not in been
            assert (state in TAKES_INPUT) >= (then in TAKES_INPUT)
            assert (state in AT_WORK) >= (then in AT_WORK)
        state = then
        been.append(state)


def test_the_life_can_be_drawn():
    drawn = state_diagram(LIFE, FIRST).splitlines()
    assert drawn[:3] == ["```mermaid", "stateDiagram-v2", "    [*] --> opening"]
    assert "    running --> interrupting: interrupt / cancel the work" in drawn
    assert "    running --> closing: close" in drawn
    assert not any(line.startswith("    closing --> closing") for line in drawn)
    assert drawn[-2:] == ["    released --> [*]", "```"]


# -- a turn carries the effects out


@pytest.fixture
def turn():
    return LiveTurn("t", TurnStartParams(thread_id="t", input=()), TurnInput((), {}))


async def test_a_turn_lets_others_write_when_its_record_is_open(turn):
    assert not turn.opened.is_set()
    assert not turn.recorded
    turn.open()
    assert turn.opened.is_set()
    assert turn.recorded


async def test_a_turn_without_a_record_lets_others_write_when_its_work_is_over(turn):
    turn.finish()
    assert turn.opened.is_set()
    assert not turn.recorded


async def test_a_turn_takes_input_until_it_closes(turn):
    assert turn.joinable
    turn.open()
    assert turn.joinable
    turn.close()
    assert not turn.joinable
    assert turn.at_work


async def test_an_interrupt_cancels_the_work_once(turn):
    with turn.scope:
        turn.interrupt()
        assert turn.scope.cancel_called
        await trio.lowlevel.checkpoint()
    assert turn.scope.cancelled_caught
    assert not turn.joinable
    turn.finish()
    turn.interrupt()
    assert not turn.at_work


async def test_the_callers_get_the_result_when_it_is_recorded_and_the_thread_is_free_later(turn):
    watch = TurnWatch()
    turn.watch(watch)
    turn.open()
    turn.finish()
    turn.result = turn.ended("completed", None)
    assert watch.withdraw()  # its work is over: the end is near
    turn.end()
    assert (await watch.wait()).turn == turn.result
    assert not turn.done.is_set()
    turn.release()
    assert turn.done.is_set()


async def test_a_turn_is_interrupted_when_its_last_caller_withdraws(turn):
    first, second = TurnWatch(), TurnWatch()
    turn.watch(first)
    turn.watch(second)
    assert not first.withdraw()
    assert turn.joinable
    assert second.withdraw()
    assert turn.scope.cancel_called


@pytest.mark.parametrize("opened", [False, True])
async def test_a_turn_that_waits_for_an_answer_is_left_without_a_record_of_its_end(turn, opened):
    turn.waiting = SimpleNamespace(stored=True)
    if opened:
        turn.open()
    turn.leave()
    assert turn.scope.cancel_called
    assert turn.suspended
    turn.interrupt()
    turn.finish()
    assert turn.suspended
    assert turn.opened.is_set()
    assert not turn.recorded
    turn.end()


@pytest.mark.parametrize("waiting", [None, SimpleNamespace(stored=False)])
async def test_a_turn_of_which_nothing_is_stored_is_interrupted(turn, waiting):
    turn.waiting = waiting
    turn.open()
    turn.leave()
    assert not turn.suspended
    assert turn.state is TurnState.INTERRUPTING
