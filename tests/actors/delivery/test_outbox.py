"""Outboxes: merging, overflow, order, and one encoding for all subscribers."""

import weakref
from typing import Any

import orjson
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from spindle.actors.delivery import events
from spindle.actors.delivery import outbox as outboxes
from spindle.actors.delivery.events import Event, merge
from spindle.actors.delivery.outbox import Outbox, Overflow
from spindle.actors.delivery.subscribers import Audience, Subscriber
from spindle.rpc.protocol.envelope import encode_notification
from spindle.rpc.protocol.items import AgentMessageItem
from spindle.rpc.protocol.threads import ThreadClosedNotification
from spindle.rpc.protocol.turns import (
    AgentMessageDeltaNotification,
    FileChangeOutputDeltaNotification,
    ItemCompletedNotification,
    ReasoningSummaryTextDeltaNotification,
)


def text(delta, item="i", thread="t"):
    return Event(AgentMessageDeltaNotification(thread, "turn", item, delta))


def summary(delta, index=0, item="i"):
    return Event(ReasoningSummaryTextDeltaNotification("t", "turn", item, delta, index))


def closed(thread="t"):
    return Event(ThreadClosedNotification(thread))


def item(size):
    return Event(ItemCompletedNotification(AgentMessageItem(id="i", text="x" * size), "t", "turn", 1))


def shown(messages):
    return [
        m.decode()
        if isinstance(m, bytes)
        else (m.method, getattr(m.params, "item_id", ""), getattr(m.params, "delta", ""))
        for m in messages
    ]


TEXT = AgentMessageDeltaNotification.METHOD
SUMMARY = ReasoningSummaryTextDeltaNotification.METHOD


def test_consecutive_deltas_of_one_item_become_one():
    assert shown(merge([text("a"), text("b"), text("c")])) == [(TEXT, "i", "abc")]


def test_a_single_delta_stays_the_same_event():
    events = [text("a"), closed(), text("b")]
    assert list(merge(events)) == events


@pytest.mark.parametrize(
    "between",
    [closed(), text("x", item="j"), text("x", thread="u"), summary("x"), b"{}"],
    ids=["event", "item", "thread", "kind", "bytes"],
)
def test_any_other_message_ends_the_merge(between):
    merged = list(merge([text("a"), text("b"), between, text("c"), text("d")]))
    assert len(merged) == 3
    assert merged[1] is between
    assert shown(merged)[0][2] == "ab"
    assert shown(merged)[2][2] == "cd"


def test_deltas_of_different_summary_parts_are_not_merged():
    assert shown(merge([summary("a"), summary("b"), summary("c", 1)])) == [(SUMMARY, "i", "ab"), (SUMMARY, "i", "c")]


def test_deltas_of_other_kinds_are_not_merged():
    events = [Event(FileChangeOutputDeltaNotification("t", "turn", "i", d)) for d in "ab"]
    assert list(merge(events)) == events


MESSAGES = st.lists(
    st.one_of(
        st.builds(text, st.text("abc", max_size=2), st.sampled_from("ij"), st.sampled_from("tu")),
        st.builds(summary, st.text("abc", max_size=2), st.sampled_from([0, 1])),
        st.builds(closed),
        st.just(b"{}"),
    )
)


def texts(messages):
    """What a client has in the end: the text of each part, and the place of every other message."""
    out: list[Any] = []
    for m in messages:
        if isinstance(m, bytes) or not hasattr(m.params, "delta"):
            out.append("other")
            continue
        key = (m.method, m.params.thread_id, m.params.item_id, getattr(m.params, "summary_index", None))
        if out and out[-1][0] == key:
            out[-1] = (key, out[-1][1] + m.params.delta)
        else:
            out.append((key, m.params.delta))
    return out


@given(MESSAGES)
def test_merging_changes_no_text_and_no_order(messages):
    merged = list(merge(messages))
    assert texts(merged) == texts(messages)
    assert len(merged) == len(texts(messages))
    assert shown(merge(merged)) == shown(merged)


async def test_messages_are_taken_in_order_and_together():
    outbox = Outbox(Overflow.CLOSE)
    events = [text("a"), closed(), text("b")]
    for event in events:
        outbox.put(event)
    assert await outbox.take() == events
    taken = []

    async def take():
        taken.extend(await outbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        assert taken == []
        outbox.put(events[0])
        outbox.put(events[1])
    assert taken == events[:2]


async def test_a_cancelled_take_loses_nothing():
    outbox = Outbox(Overflow.CLOSE)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.take)
            await wait_all_tasks_blocked()
            scope.cancel()
            outbox.put(b"x")
    assert await outbox.take() == [b"x"]


async def test_deltas_past_the_capacity_are_merged_and_nothing_is_lost():
    outbox = Outbox(Overflow.CLOSE, capacity=4)
    for number in range(1000):
        outbox.put(text(str(number)))
    assert not outbox.overflowed
    taken = await outbox.take()
    assert len(taken) <= 6
    assert "".join(delta for _, _, delta in shown(taken)) == "".join(map(str, range(1000)))


async def test_messages_that_cannot_be_merged_overflow_and_end_the_reader():
    outbox = Outbox(Overflow.CLOSE, capacity=4)
    for _ in range(4):
        outbox.put(closed())
    assert not outbox.overflowed
    outbox.put(closed())
    assert outbox.overflowed
    outbox.put(closed())
    assert await outbox.take() == []
    assert await outbox.take() == []


async def test_an_overflow_wakes_a_waiting_reader():
    outbox, taken = Outbox(Overflow.CLOSE, capacity=1), []

    async def take():
        taken.append(await outbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        outbox.put(closed())
        outbox.put(closed())
    assert taken == [[]]


async def test_a_client_that_turns_wait_for_never_overflows_and_gets_room():
    outbox, passed = Outbox(Overflow.WAIT, capacity=4), []

    async def turn():
        await outbox.room()
        passed.append(True)

    for _ in range(100):
        outbox.put(closed())
    assert not outbox.overflowed
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        await wait_all_tasks_blocked()
        assert passed == []
        assert len(await outbox.take()) == 100
    assert passed == [True]


async def test_closing_wakes_a_waiting_turn_and_leaves_the_rest_to_the_reader():
    outbox = Outbox(Overflow.WAIT, capacity=2)
    for _ in range(5):
        outbox.put(closed())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.room)
        await wait_all_tasks_blocked()
        outbox.close()
    outbox.put(closed())
    assert len(await outbox.take()) == 5
    assert await outbox.take() == []


async def test_a_turn_does_not_wait_for_a_client_that_overflows():
    outbox = Outbox(Overflow.CLOSE, capacity=2)
    for _ in range(2):
        outbox.put(closed())
    await outbox.room()


async def test_one_event_is_encoded_once_for_all_subscribers(monkeypatch):
    calls = []

    def encode(method, params):
        calls.append(method)
        return encode_notification(method, params)

    monkeypatch.setattr(events, "encode_notification", encode)
    audience, members = Audience(), [Subscriber(Overflow.CLOSE) for _ in range(3)]
    for member in members:
        audience.join(member)
    audience.announce(ThreadClosedNotification("t"))
    encoded = [[e.encode() for e in await member.outbox.take() if isinstance(e, Event)] for member in members]
    assert len(calls) == 1
    assert encoded[0] == encoded[1] == encoded[2]
    assert orjson.loads(encoded[0][0]) == {"method": "thread/closed", "params": {"threadId": "t"}}


async def test_a_member_of_the_audience_gets_what_it_did_not_mute():
    audience = Audience()
    muted, gone, there = (
        Subscriber(Overflow.CLOSE, muted=frozenset({"thread/closed"})),
        Subscriber(Overflow.CLOSE),
        Subscriber(Overflow.CLOSE),
    )
    for member in (muted, gone, there):
        audience.join(member)
        audience.join(member)
    audience.leave(gone)
    audience.leave(gone)
    audience.announce(ThreadClosedNotification("t"))
    for member in (muted, gone, there):
        member.outbox.close()
    assert [len(await member.outbox.take()) for member in (muted, gone, there)] == [0, 0, 1]


async def test_every_turn_that_waits_for_room_continues():
    outbox, passed = Outbox(Overflow.WAIT, capacity=4), []

    async def turn(number):
        await outbox.room()
        passed.append(number)

    for _ in range(100):
        outbox.put(closed())
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(turn, number)
            await wait_all_tasks_blocked()
        await outbox.take()
    assert sorted(passed) == [0, 1, 2]


@pytest.mark.parametrize("overflow", [Overflow.WAIT, Overflow.CLOSE])
async def test_a_turn_waits_while_much_text_is_not_taken(overflow, mock_clock, monkeypatch):
    monkeypatch.setattr(outboxes, "WEIGHT", 10)
    outbox, passed = Outbox(overflow), []

    async def turn():
        await outbox.room()
        passed.append(True)

    outbox.put(text("x" * 11))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        await wait_all_tasks_blocked()
        assert passed == []
        await outbox.take()
    assert passed == [True]
    await outbox.room()


async def test_a_turn_waits_once_for_a_subscriber_that_has_stopped_reading(autojump_clock, monkeypatch):
    monkeypatch.setattr(outboxes, "WEIGHT", 10)
    monkeypatch.setattr(outboxes, "MOST", 100)
    outbox = Outbox(Overflow.CLOSE)
    outbox.put(text("x" * 11))
    await outbox.room()
    assert trio.current_time() == outboxes.PATIENCE
    outbox.put(text("x" * 80))
    await outbox.room()
    assert trio.current_time() == outboxes.PATIENCE
    assert not outbox.overflowed
    outbox.put(text("x" * 10))
    assert outbox.overflowed
    await outbox.room()


@pytest.mark.parametrize("overflow", [Overflow.WAIT, Overflow.CLOSE])
async def test_a_turn_waits_while_a_large_item_is_not_taken(overflow, mock_clock, monkeypatch):
    monkeypatch.setattr(outboxes, "WEIGHT", 1000)
    outbox, passed = Outbox(overflow), []

    async def turn():
        await outbox.room()
        passed.append(True)

    outbox.put(item(2000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        await wait_all_tasks_blocked()
        assert passed == []
        await outbox.take()
    assert passed == [True]


async def test_too_many_bytes_of_items_overflow_and_are_freed(monkeypatch):
    monkeypatch.setattr(outboxes, "MOST", 10_000)
    outbox, cut_off = Outbox(Overflow.CLOSE), []
    outbox.on_overflow = lambda: cut_off.append(True)
    first = item(1000)
    held = weakref.ref(first.params)
    outbox.put(first)
    del first
    for _ in range(8):
        outbox.put(item(1000))
    assert not outbox.overflowed
    assert held() is not None
    for _ in range(9):
        outbox.put(item(1000))
    assert outbox.overflowed
    assert cut_off == [True]
    assert held() is None
    assert await outbox.take() == []


async def test_a_single_item_may_have_any_size(monkeypatch):
    monkeypatch.setattr(outboxes, "MOST", 1000)
    outbox = Outbox(Overflow.CLOSE)
    outbox.put(item(100_000))
    outbox.put(item(100))
    assert len(await outbox.take()) == 2
    outbox.put(text("x" * 900))
    outbox.put(text("x" * 200))
    assert outbox.overflowed


async def test_a_client_that_turns_wait_for_does_not_overflow_by_bytes(monkeypatch):
    monkeypatch.setattr(outboxes, "MOST", 1000)
    monkeypatch.setattr(outboxes, "MOST_ANSWERS", 1000)
    outbox = Outbox(Overflow.WAIT)
    for _ in range(10):
        outbox.put(item(1000))
        outbox.put(b"x" * 1000)
    assert len(await outbox.take()) == 20


async def answers_taken(outbox):
    """Whether requests are read."""
    with trio.move_on_after(0) as scope:
        await outbox.answers_taken()
    return not scope.cancelled_caught


@pytest.mark.parametrize(("answer", "count"), [(b"x", 3), (b"x" * 101, 1)])
async def test_requests_are_read_until_too_many_answers_or_too_large_ones_wait(monkeypatch, answer, count):
    monkeypatch.setattr(outboxes, "ANSWERS", 2)
    monkeypatch.setattr(outboxes, "ANSWERS_WEIGHT", 100)
    outbox = Outbox(Overflow.CLOSE)
    for _ in range(count):
        outbox.put(item(1000))
        assert await answers_taken(outbox)
        outbox.put(answer)
    assert not await answers_taken(outbox)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.answers_taken)
        await wait_all_tasks_blocked()
        await outbox.take()
    assert await answers_taken(outbox)


async def test_answers_to_requests_that_were_read_are_bounded_too(monkeypatch):
    monkeypatch.setattr(outboxes, "MOST_ANSWERS", 1000)
    outbox = Outbox(Overflow.CLOSE)
    for _ in range(11):
        outbox.put(b"x" * 100)
    assert not outbox.overflowed
    outbox.put(b"x" * 100)
    assert outbox.overflowed
    assert await answers_taken(outbox)


async def test_a_take_stops_at_the_bytes_it_asked_for():
    outbox, messages = Outbox(Overflow.CLOSE), [b"%d" % number * 10 for number in range(10)]
    for message in messages:
        outbox.put(message)
    taken = [await outbox.take(25), await outbox.take(0), await outbox.take(1000)]
    assert taken == [messages[:3], messages[3:4], messages[4:]]
    outbox.put(text("x" * 20))
    outbox.put(text("x" * 20))
    assert len(await outbox.take(10)) == 1
    outbox.close()
    assert len(await outbox.take(10)) == 1
    assert await outbox.take(10) == []


def test_an_event_that_cannot_be_encoded_is_replaced_by_a_warning(caplog):
    event = text("\ud800", thread="t\udcff")
    warning = orjson.loads(event.encode())
    assert (warning["method"], warning["params"]["threadId"]) == ("warning", "t\ufffd")
    assert "item/agentMessage/delta" in warning["params"]["message"]
    assert "item/agentMessage/delta" in caplog.text
    assert event.encode() is event.encode()
