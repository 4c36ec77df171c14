"""The life of an agent in its family: each state with each event, and invariants over random events."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.state_diagrams import state_diagram

from spindle.actors.thread.agents.family import MAX_AGENTS, Family, FamilyFull, most_agents
from spindle.actors.thread.agents.life import (
    ENDING,
    FIRST,
    LIFE,
    MemberEffect,
    MemberEvent,
    MemberState,
    WrongMemberEvent,
    after,
)
from spindle.actors.tools.agents.agents import NOT_FOUND, AgentStatus
from spindle.storage.config import load
from spindle.storage.home import Home

# "-" is what cannot happen
TABLE = """
         admitted          open              reported          closing                  closing_reported      abandoned  gone
enter    open              -                 -                 -                        -                     -          -
run      -                 open              reported          closing                  closing_reported      abandoned  gone
rest     -                 open+wake         reported+wake     closing+wake             closing_reported+wake abandoned  gone
finish   -                 reported+report   reported+wake     closing_reported+report  closing_reported+wake abandoned  gone
close    -                 closing           closing_reported  closing                  closing_reported      -          -
abandon  abandoned+depart  abandoned+depart  abandoned+depart  abandoned+depart         abandoned+depart      -          gone
leave    -                 gone+depart       gone+depart       gone+depart              gone+depart           gone       gone
"""


def cells():
    states, *rows = (line.split() for line in TABLE.strip("\n").splitlines())
    assert states == [state.name.lower() for state in MemberState]
    assert [row[0] for row in rows] == [event.name.lower() for event in MemberEvent]
    for event, *row in rows:
        for state, cell in zip(states, row, strict=True):
            yield pytest.param(MemberState[state.upper()], MemberEvent[event.upper()], cell, id=f"{state}-{event}")


@pytest.mark.parametrize(("state", "event", "expected"), list(cells()))
def test_each_event_in_each_state(state, event, expected):
    if expected == "-":
        with pytest.raises(WrongMemberEvent, match=f"an agent that is {state.value} cannot have the event: {event.value}"):
            after(state, event)
        return
    then, *effects = expected.upper().split("+")
    assert after(state, event) == (MemberState[then], tuple(MemberEffect[effect] for effect in effects))


@given(st.lists(st.sampled_from(MemberEvent), max_size=30))
def test_an_agent_departs_and_is_reported_at_most_once_and_is_silent_afterwards(events):
    state = FIRST
    effects: list[MemberEffect] = []
    for event in events:
        if (state, event) not in LIFE:
            with pytest.raises(WrongMemberEvent):
                after(state, event)
            continue
        then, now = after(state, event)
        assert not (now and MemberEffect.DEPART in effects)
        assert (state in ENDING) <= (then in ENDING or then is MemberState.GONE)
        effects += now
        state = then
    assert effects.count(MemberEffect.DEPART) == (state in (MemberState.ABANDONED, MemberState.GONE))
    assert effects.count(MemberEffect.REPORT) <= 1


def test_the_life_can_be_drawn():
    drawn = state_diagram(LIFE, FIRST).splitlines()
    assert drawn[2:4] == ["    [*] --> admitted", "    admitted --> open: enter"]
    assert "    closing --> closing_reported: finish / wake the parent with a report" in drawn
    assert drawn[-2:] == ["    gone --> [*]", "```"]


# -- a family carries the effects out


def member(family, id="child"):
    entered = family.admit("root", 1, None, (), 6)
    family.enter(entered, id)
    return entered


async def test_an_agent_takes_room_from_its_admission_to_its_departure():
    family = Family()
    admitted = family.admit("root", 1, None, (), 1)
    with pytest.raises(FamilyFull):
        family.admit("root", 1, None, (), 1)
    family.abandon(admitted)
    assert admitted.removed.is_set()
    assert family.children("root") == []
    assert member(family).removed.is_set() is False
    assert len(family.children("root")) == 1


@pytest.mark.parametrize("depart", [Family.leave, Family.abandon])
async def test_an_agent_that_departs_is_not_found_and_stays_away(depart):
    family = Family()
    child = member(family)
    depart(family, child)
    assert child.removed.is_set()
    assert family.become(child, AgentStatus("completed", "late")) == ()
    assert family.status("child") == NOT_FOUND
    again = member(family)  # resumed
    family.leave(child)
    assert family.get("child") == again
    assert not again.removed.is_set()


async def test_an_agent_that_is_being_closed_ends_those_below_it():
    family = Family()
    child = member(family)
    assert not child.ending
    family.close(child)
    assert child.ending
    assert family.get("child") == child
    assert list(family.become(child, AgentStatus("shutdown"))) == [MemberEffect.REPORT]
    assert child.ending


@pytest.mark.parametrize(
    ("table", "most"),
    [
        ("", MAX_AGENTS),
        ("max_threads = 2", 2),
        ("max_concurrent_threads_per_session = 3", 3),
        ("max_threads = 2\nmax_concurrent_threads_per_session = 3", 2),
    ],
)
def test_the_most_agents_have_two_names_in_the_configuration(tmp_path: Path, table: str, most: int) -> None:
    (tmp_path / "config.toml").write_text(f"[agents]\n{table}\n")
    assert most_agents(load(Home(tmp_path))) == most
