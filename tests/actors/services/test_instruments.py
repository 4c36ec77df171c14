"""The dispatcher: who is called, in which order, and what becomes of an instrument that fails."""

import logging
from typing import Any

import pytest

from spindle import Instrument
from spindle.actors.services.instruments import Instruments, ToolInfo, ToolOutcome

INFO = ToolInfo(
    thread_id="t",
    turn_id="u",
    call_id="c",
    name="n",
    namespace=None,
    kind="builtin",
    custom=False,
    arguments="",
    description="",
)
OUTCOME = ToolOutcome(output="o", seconds=1.0)


class Noting(Instrument):
    """Notes its calls in a list that others note theirs in too. It fails at the ones named."""

    def __init__(self, name, notes, *, fails=()):
        self.name, self.notes, self.fails = name, notes, fails

    def _note(self, what):
        self.notes.append((self.name, what))
        if what in self.fails:
            raise ValueError("of the instrument")

    def tool_started(self, tool):
        assert tool is INFO
        self._note("started")

    def tool_ended(self, tool, outcome):
        assert (tool, outcome) == (INFO, OUTCOME)
        self._note("ended")

    def propagate(self, carrier):
        self._note("propagate")
        carrier[self.name] = "here"


def test_without_instruments_it_is_false():
    assert not Instruments()
    assert Instruments([Instrument()])


def test_the_last_to_be_called_first_ends_first():
    notes: list[Any] = []
    with Instruments([Noting("a", notes), Noting("b", notes)]).tool(INFO, lambda: OUTCOME):
        notes.append("work")
    assert notes == [("a", "started"), ("b", "started"), "work", ("b", "ended"), ("a", "ended")]


def test_it_ends_what_fails():
    notes: list[Any] = []
    with pytest.raises(KeyError), Instruments([Noting("a", notes)]).tool(INFO, lambda: OUTCOME):
        raise KeyError
    assert notes == [("a", "started"), ("a", "ended")]


def test_an_instrument_that_raises_is_removed_and_the_others_go_on(caplog):
    notes: list[Any] = []
    instruments = Instruments([Noting("a", notes, fails=["started"]), Noting("b", notes)])
    with instruments.tool(INFO, lambda: OUTCOME):
        notes.append("work")
    assert notes == [("a", "started"), ("b", "started"), "work", ("b", "ended")]
    [line] = caplog.records
    assert (line.levelno, line.getMessage()) == (logging.ERROR, "the instrument Noting has failed and is removed")
    assert instruments.carrier() == {"b": "here"}


def test_the_last_one_to_fail_leaves_nothing_to_call(caplog):
    instruments = Instruments([Noting("a", [], fails=["ended"])])
    with instruments.tool(INFO, lambda: OUTCOME):
        pass
    assert len(caplog.records) == 1
    assert not instruments


def test_what_is_meant_to_end_the_program_passes():
    class Leaving(Instrument):
        def tool_started(self, tool):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Instruments([Leaving()]).tool(INFO, lambda: OUTCOME):
        raise AssertionError("not reached")
