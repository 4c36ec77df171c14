"""The retire protocol keeps its promises for any requests of clients at any time.

A real registry with real threads; only the disk is replaced, by a set of names. What clients see is logged as it happens
(replies and notifications are synchronous calls) and judged from their side. Time is trio's mock clock, the gaps between
operations cluster on the delay after which a thread is unloaded, and the seed shuffles trio's scheduling.
"""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spindle.actors.kernel import incarnations as table_module
from spindle.actors.kernel.incarnations import AWAY, Incarnations, Post
from spindle.actors.registry.relocation import Archive
from spindle.actors.thread.joining import LOST_CLIENT_DELAY

from .retire_world import CLIENTS, DELAY, violations

clients = st.integers(0, CLIENTS - 1)
threads = st.integers(0, 1)
"""Few, so that clients meet."""
deadlines = [
    float(base + off) for base in (0, DELAY, LOST_CLIENT_DELAY) for off in (-0.001, 0, 0.001) if base + off > 0
]
operations = st.one_of(
    st.tuples(st.just("resume"), clients, threads),
    st.tuples(st.just("unsubscribe"), clients, threads),
    st.tuples(st.just("breath"), clients, threads),
    st.tuples(st.just("steps"), st.integers(1, 8)),
    st.tuples(st.just("wait"), st.sampled_from(deadlines)),
    st.tuples(st.just("turn"), threads, st.sampled_from([0.0, *deadlines])),
    st.tuples(st.just("lose"), clients),
    st.tuples(st.just("archiving"), threads),
    st.tuples(st.just("unarchiving"), threads),
    st.tuples(st.just("deleting"), threads),
    st.tuples(st.just("start"), clients),
    st.tuples(st.just("flood"), threads),
    st.tuples(st.just("crash"), threads),
    st.tuples(st.just("crash_load")),
)
programs = st.lists(operations, max_size=30).map(lambda rest: [("start", 0), *rest])
worlds = st.fixed_dictionaries(
    {
        "delay": st.sampled_from([None, 0, DELAY]),
        "on_unsubscribe": st.sampled_from(["finish", "interrupt"]),
        "loading": st.sampled_from([0.0, 0.001, float(DELAY)]),
        "releasing": st.sampled_from([0.0, 0.0, 0.001, float(DELAY)]),
        "stop_fails": st.booleans(),
        "capacity": st.sampled_from([0, 0, 4]),
        "seed": st.integers(0, 2**16),
    }
)


@settings(max_examples=400, deadline=None)
@given(programs, worlds)
def test_the_promises_are_kept(program, world):
    assert violations(program, **world) == []


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("between", ["resume", "turn", "archiving", "unarchiving", "deleting", "crash"])
def test_any_request_at_any_step_of_the_end(steps, between):
    """Every step of the way out, one after the other."""
    args = {"resume": (0, 0), "turn": (0, 0.0)}.get(between, (0,))
    for seed in range(5):
        program = [
            ("start", 0),
            ("wait", 1.0),
            ("unsubscribe", 0, 0),
            ("steps", steps),
            (between, *args),
            ("resume", 1, 0),
        ]
        assert violations(program, seed=seed) == []


@pytest.mark.parametrize("seed", range(10))
def test_unsubscribe_and_resume_in_one_breath_gives_a_live_thread(seed):
    for loading in (0.0, 0.001, 1.0):
        program = [("start", 0), ("wait", 2.0), ("breath", 0, 0), ("breath", 0, 0), ("wait", 1000.0), ("turn", 0, 0.0)]
        assert violations(program, loading=loading, seed=seed) == []


@pytest.mark.parametrize("releasing", [0.0, 0.001])
@pytest.mark.parametrize("then", ["resume", "breath", "turn", "archiving", "deleting", "lose", "flood"])
def test_a_crash_at_any_step(then, releasing):
    """Each request, sent at each step of the crash, is answered; the thread can be resumed."""
    args = {"resume": (0, 0), "breath": (0, 0), "turn": (0, 0.0)}.get(then, (0,))
    for steps in range(10):
        program = [
            ("start", 0),
            ("wait", 1.0),
            ("turn", 0, 9.0),
            ("crash", 0),
            ("steps", steps + 1),
            (then, *args),
            ("resume", 1, 0),
            ("wait", 1.0),
            ("resume", 2, 0),
        ]
        assert violations(program, releasing=releasing, stop_fails=bool(steps % 2), seed=steps) == []


@pytest.mark.parametrize("loading", [0.0, 1.0])
def test_a_thread_with_a_full_mailbox_is_released(loading):
    """Its mailbox, and what is held for it."""
    program = [
        ("start", 0), ("flood", 0), ("wait", 2.0), ("flood", 0), ("unsubscribe", 0, 0), ("flood", 0), ("unsubscribe", 0, 0),
        ("resume", 1, 0), ("wait", 5.0), ("resume", 1, 0), ("flood", 0), ("lose", 1), ("steps", 3), ("flood", 0),
    ]  # fmt: skip
    assert violations(program, delay=0, loading=loading, releasing=1.0, capacity=4) == []


def test_a_thread_that_is_ended_while_it_loads_closes_once():
    program = [("start", 0), ("wait", 9.0), ("unsubscribe", 0, 0), ("wait", 9.0), ("resume", 0, 0), ("archiving", 0)]
    assert violations(program, loading=1.0) == []


def test_a_client_that_goes_away_before_its_thread_is_there_keeps_nothing_loaded():
    assert violations([("start", 0), ("lose", 0)], loading=1.0) == []
    assert violations([("start", 0), ("wait", 2.0), ("unsubscribe", 0, 0), ("resume", 1, 0), ("lose", 1)]) == []


def test_a_turn_that_waits_for_another_to_end_is_refused_in_words_when_the_thread_is_archived():
    program = [("start", 0), ("turn", 0, 0.0), ("unsubscribe", 0, 0), ("turn", 0, 0.0), ("archiving", 0)]
    assert violations(program, on_unsubscribe="interrupt") == []


# -- the guards


def retire_without_comparing(self, thread_id, generation, seen):
    one = self._current(thread_id, generation)
    if one is None or one.phase in AWAY or one.mailbox is None:
        return []
    return table_module._end(one)


def route_without_holding(self, thread_id, message, *, urgent=False, original=Incarnations.route):
    one = self._table.get(thread_id)
    if one is None or one.mailbox is None or isinstance(message, Archive):
        return original(self, thread_id, message, urgent=urgent)
    return [Post(one.mailbox, message)]


def route_to_the_unattended(self, thread_id, message, *, urgent=False, original=Incarnations.route):
    """As if a crash were known only when it is over."""
    one = self._table.get(thread_id)
    if one is None or one.mailbox is None or one.phase in AWAY or one.held:
        return original(self, thread_id, message, urgent=urgent)
    return [Post(one.mailbox, message)]


def route_as_others(self, thread_id, message, *, urgent=False, original=Incarnations.route):
    return original(self, thread_id, message)


GUARDS = {
    "holding once it is not attended": ("route", route_to_the_unattended, "reached a dying actor"),
    "room for what releases": ("route", route_as_others, "unsubscribe failed"),
    "accepted == seen": ("retire", retire_without_comparing, "closes while subscribed"),
    "holding while closing": ("route", route_without_holding, "reached a dying actor"),
}


@pytest.fixture(params=list(GUARDS))
def broken(request, monkeypatch):
    """The table of incarnations without one of its guards; what goes wrong then."""
    method, without, promise = GUARDS[request.param]
    monkeypatch.setattr(Incarnations, method, without)
    return promise


def test_without_a_guard_known_programs_break_a_promise(broken):
    programs = [
        [("start", 0), ("wait", 1.0), ("unsubscribe", 0, 0), ("steps", steps), ("resume", 0, 0)] for steps in range(12)
    ]
    held = [("unsubscribe", 0, 0), ("steps", 3), ("flood", 0), ("unsubscribe", 1, 0)]
    crash = [("crash", 0), ("steps", 9), ("turn", 0, 0.0)]
    programs += [[("start", 0), ("wait", 1.0), *then] for then in (held, crash)]
    found = [what for program in programs for what in violations(program, releasing=0.5, capacity=4)]
    assert any(broken in what for what in found), found


def test_without_a_guard_the_property_finds_a_counterexample(broken):
    def breaks(example):
        program, world = example
        return any(broken in what for what in violations(program, **world))

    program, _ = hypothesis.find(
        st.tuples(programs, worlds),
        breaks,
        settings=settings(max_examples=2000, deadline=None, database=None, derandomize=True, phases=[Phase.generate]),
    )
    assert program
