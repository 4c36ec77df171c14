"""The registry's decisions, without tasks."""

import pytest

from spindle.actors.kernel.incarnations import HELD, Announce, Incarnations, Post, Replay, Stop
from spindle.actors.kernel.mailbox import Mailbox, MailboxFull

T = "thread"


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def table():
    return Incarnations()


@pytest.fixture
def live(table, mailbox):
    """The generation of a live thread."""
    generation = table.open(T, mailbox)
    mailbox.begun = True
    return generation


def test_an_absent_thread_gets_nothing(table):
    assert table.route(T, "m") is None
    assert table.close(T) == []
    assert table.retire(T, 1, 0) == []
    assert table.gone(T, 1) == []
    assert table.started(T, 1) == []
    assert list(table) == []


def test_a_thread_is_never_opened_twice(table, mailbox):
    table.open(T, mailbox)
    with pytest.raises(ValueError, match="has an incarnation already"):
        table.open(T, mailbox)
    with pytest.raises(ValueError, match="has an incarnation already"):
        table.occupy(T)


def test_generations_only_grow(table, mailbox):
    first = table.open(T, mailbox)
    table.gone(T, first)
    assert table.open(T, mailbox) > first


def test_a_starting_or_live_thread_is_posted_to(table, mailbox):
    generation = table.open(T, mailbox)
    assert table.route(T, "a") == [Post(mailbox, "a")]
    table.started(T, generation)
    assert table.route(T, "b") == [Post(mailbox, "b")]
    assert table.phase(T) == "live"


def test_leave_is_granted_to_a_thread_that_has_seen_everything(table, mailbox, live):
    mailbox.post("one")
    assert table.retire(T, live, 1) == [Stop(mailbox)]
    assert table.phase(T) == "closing"
    assert T in list(table)
    assert table.retire(T, live, 1) == []


def test_leave_is_refused_while_a_message_is_on_its_way(table, mailbox, live):
    mailbox.post("one")
    mailbox.post("two")
    assert table.retire(T, live, 1) == []
    assert table.route(T, "three") == [Post(mailbox, "three")]
    assert table.retire(T, live, 2) == [Stop(mailbox)]


def test_leave_is_refused_to_a_thread_that_is_not_live_or_of_another_generation(table, mailbox, live):
    assert table.retire(T, live - 1, 0) == []
    assert table.retire(T, live + 1, 0) == []
    other = table.open("starting", Mailbox())
    assert table.retire("starting", other, 0) == []


def test_what_comes_while_closing_is_held_and_replayed_in_order_after_the_announcement(table, mailbox, live):
    assert table.close(T) == [Stop(mailbox)]
    assert table.close(T) == []
    assert table.route(T, "a") == []
    assert table.route(T, "b") == []
    assert table.gone(T, live) == [Announce(T, True), Replay(("a", "b"))]
    assert T not in list(table)
    assert table.gone(T, live) == []


def test_no_more_is_held_than_allowed(table, live):
    table.close(T)
    for number in range(HELD):
        assert table.route(T, number) == []
    with pytest.raises(MailboxFull):
        table.route(T, "more")
    assert table.gone(T, live)[1] == Replay(tuple(range(HELD)))


def test_an_older_generation_cannot_end_a_newer_one(table, mailbox, live):
    table.gone(T, live)
    newer = table.open(T, Mailbox())
    assert table.gone(T, live) == []
    assert table.started(T, live) == []
    assert T in list(table)
    assert table.gone(T, newer) == [Announce(T, False)]


def test_a_thread_that_failed_to_load_was_never_there(table, mailbox):
    generation = table.open(T, mailbox)
    assert table.gone(T, generation) == [Announce(T, False)]


def test_a_thread_told_to_end_while_it_loads_still_answers_and_so_is_announced(table, mailbox):
    generation = table.open(T, mailbox)
    assert table.close(T) == [Stop(mailbox)]
    mailbox.begun = True
    assert table.started(T, generation) == []
    assert table.phase(T) == "closing"
    assert table.gone(T, generation) == [Announce(T, True)]


def test_an_occupied_place_holds_everything_and_is_freed_silently(table):
    generation = table.occupy(T)
    assert table.phase(T) == "occupied"
    assert table.route(T, "a") == []
    assert table.close(T) == []
    assert table.retire(T, generation, 0) == []
    assert table.gone(T, generation) == [Announce(T, False), Replay(("a",))]


def test_threads_do_not_mix(table, mailbox, live):
    other = Mailbox()
    table.open("other", other)
    table.close(T)
    assert table.route("other", "m") == [Post(other, "m")]
    assert (table.phase(T), table.phase("other")) == ("closing", "starting")
    assert list(table) == [T, "other"]


def test_what_comes_for_one_that_is_not_attended_any_more_is_held_too(table, mailbox, live):
    mailbox.attended = False
    assert table.route(T, "a") == []
    assert table.gone(T, live) == [Announce(T, True), Replay(("a",))]


def test_a_parked_message_and_all_behind_it_wait_for_the_decision(table, mailbox, live):
    assert table.park(T, "move") == live
    assert table.route(T, "a") == []
    with pytest.raises(ValueError, match="held already"):
        table.park(T, "again")
    assert table.unpark(T, live, end=False) == [Replay(("a",))]
    assert table.route(T, "b") == [Post(mailbox, "b")]
    assert table.park(T, "move") == live
    assert table.unpark(T, live, end=True) == [Stop(mailbox)]
    assert table.unpark(T, live, end=True) is None
    assert table.gone(T, live) == [Announce(T, True), Replay(("move",))]


def test_a_message_parked_while_the_actor_starts_is_routed_again_when_it_has(table, mailbox):
    generation = table.open(T, mailbox)
    assert table.park(T, "move") is None
    mailbox.begun = True
    assert table.started(T, generation) == [Replay(("move",))]
    assert table.started(T, generation) == []
