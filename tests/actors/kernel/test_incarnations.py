"""The registry's decisions, without tasks."""

import pytest

from spindle.actors.kernel.incarnations import HELD, Announce, Post, Replay, Slots, Stop
from spindle.actors.kernel.mailbox import Address, Mailbox, MailboxFull

T = "thread"


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def address(mailbox):
    return Address(mailbox)


@pytest.fixture
def slots():
    return Slots()


@pytest.fixture
def live(slots, address):
    """The generation of a live thread."""
    generation = slots.open(T, address)
    assert slots.started(T, generation) == []
    return generation


def test_an_absent_thread_gets_nothing(slots):
    assert slots.route(T, "m") is None
    assert slots.close(T) == []
    assert slots.retire(T, 1, 0) == []
    assert slots.gone(T, 1) == []
    assert slots.started(T, 1) == []
    assert T not in slots
    assert len(slots) == 0


def test_a_thread_is_never_opened_twice(slots, address):
    slots.open(T, address)
    with pytest.raises(ValueError, match="loaded already"):
        slots.open(T, address)
    with pytest.raises(ValueError, match="loaded already"):
        slots.occupy(T)


def test_generations_only_grow(slots, address):
    first = slots.open(T, address)
    slots.gone(T, first)
    assert slots.open(T, address) > first


def test_a_starting_or_live_thread_is_posted_to(slots, address):
    generation = slots.open(T, address)
    assert slots.route(T, "a") == [Post(address, "a")]
    slots.started(T, generation)
    assert slots.route(T, "b") == [Post(address, "b")]
    assert slots.loaded() == [T]


def test_leave_is_granted_to_a_thread_that_has_seen_everything(slots, address, mailbox, live):
    mailbox.post("one")
    assert slots.retire(T, live, 1) == [Stop(address)]
    assert slots.loaded() == []
    assert T in slots
    assert slots.retire(T, live, 1) == []


def test_leave_is_refused_while_a_message_is_on_its_way(slots, address, mailbox, live):
    mailbox.post("one")
    mailbox.post("two")
    assert slots.retire(T, live, 1) == []
    assert slots.route(T, "three") == [Post(address, "three")]
    assert slots.retire(T, live, 2) == [Stop(address)]


def test_leave_is_refused_to_a_thread_that_is_not_live_or_of_another_generation(slots, address, live):
    assert slots.retire(T, live - 1, 0) == []
    assert slots.retire(T, live + 1, 0) == []
    other = slots.open("starting", address)
    assert slots.retire("starting", other, 0) == []


def test_what_comes_while_closing_is_held_and_replayed_in_order_after_the_announcement(slots, address, live):
    assert slots.close(T) == [Stop(address)]
    assert slots.close(T) == []
    assert slots.route(T, "a") == []
    assert slots.route(T, "b") == []
    assert slots.gone(T, live) == [Announce(T, True), Replay(("a", "b"))]
    assert T not in slots
    assert slots.gone(T, live) == []


def test_no_more_is_held_than_allowed(slots, live):
    slots.close(T)
    for number in range(HELD):
        assert slots.route(T, number) == []
    with pytest.raises(MailboxFull):
        slots.route(T, "more")
    assert slots.gone(T, live)[1] == Replay(tuple(range(HELD)))


def test_an_older_generation_cannot_end_a_newer_one(slots, address, live):
    slots.gone(T, live)
    newer = slots.open(T, address)
    assert slots.gone(T, live) == []
    assert slots.started(T, live) == []
    assert T in slots
    assert slots.gone(T, newer) == [Announce(T, False)]


def test_a_thread_that_failed_to_load_was_never_there(slots, address):
    generation = slots.open(T, address)
    assert slots.gone(T, generation) == [Announce(T, False)]


def test_a_thread_told_to_end_while_it_loads_still_answers_and_so_is_announced(slots, address):
    generation = slots.open(T, address)
    assert slots.close(T) == [Stop(address)]
    assert slots.started(T, generation) == []
    assert slots.loaded() == []
    assert slots.gone(T, generation) == [Announce(T, True)]


def test_an_occupied_place_holds_everything_and_is_freed_silently(slots):
    generation = slots.occupy(T)
    assert slots.loaded() == []
    assert slots.route(T, "a") == []
    assert slots.close(T) == []
    assert slots.retire(T, generation, 0) == []
    assert slots.gone(T, generation) == [Announce(T, False), Replay(("a",))]


def test_threads_do_not_mix(slots, address, live):
    other = Address(Mailbox())
    slots.open("other", other)
    slots.close(T)
    assert slots.route("other", "m") == [Post(other, "m")]
    assert slots.loaded() == ["other"]
    assert len(slots) == 2
