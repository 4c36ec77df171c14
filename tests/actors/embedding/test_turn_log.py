"""The events of one turn, kept once for its readers: what is merged, what is dropped, and who is waited for."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.delivery.events import Event, merge
from spindle.actors.delivery.outbox import PATIENCE, WEIGHT
from spindle.actors.embedding import turn_log
from spindle.actors.embedding.failures import SubscriberLagged
from spindle.actors.embedding.turn_log import TurnLog
from spindle.rpc.protocol.turns import AgentMessageDeltaNotification, ErrorNotification, TurnError


def delta(text, turn="u"):
    return Event(AgentMessageDeltaNotification("t", turn, "m", text))


def other(text="x"):
    return Event(ErrorNotification(TurnError(text), True, "t", "u"))


def reader(log):
    return log.read("t", "u", lambda: None)


async def texts(events):
    return [event.delta if isinstance(event, AgentMessageDeltaNotification) else "|" async for event in events]


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(turn_log, "CAPACITY", 8)


async def test_deltas_are_merged_but_not_across_the_place_of_a_reader(few):
    log = TurnLog()
    first, second = reader(log), reader(log)
    for text in "abc":
        log.put(delta(text))
    assert [(await anext(first)).delta for _ in range(3)] == ["a", "b", "c"]
    assert (await anext(second)).delta == "a"
    for text in "defghijk":
        log.put(delta(text))
    assert len(log._events) < 8
    log.close()
    assert "".join(await texts(first)) == "defghijk"
    assert await texts(second) == ["bc", "defghi", "j", "k"]
    assert "".join(await texts(reader(log))) == "abcdefghijk"


async def test_deltas_are_merged_in_a_number_of_steps_that_does_not_grow(few, monkeypatch):
    merged = []

    def noted(events):
        merged.append(len(events))
        return merge(events)

    monkeypatch.setattr(turn_log, "merge", noted)
    log = TurnLog()
    for _ in range(200):
        log.put(delta("a"))
        log.put(other())
    assert len(log._events) <= 10
    assert sum(merged) < 3000


async def test_the_oldest_events_are_dropped_and_only_who_needs_them_lags(few):
    log = TurnLog()
    slow, fast = reader(log), reader(log)
    for number in range(30):
        log.put(other(str(number)))
        assert (await anext(fast)).error.message == str(number)
    with pytest.raises(SubscriberLagged):
        await anext(slow)
    with pytest.raises(SubscriberLagged):
        await anext(reader(log))
    assert list(log._readers) == [fast]


async def test_bytes_are_bounded_without_the_largest_event(monkeypatch):
    monkeypatch.setattr(turn_log, "KEPT", 1000)
    log = TurnLog()
    log.put(other("x" * 5000))
    assert len(log._events) == 1
    log.put(other("y" * 100))
    assert len(log._events) == 2
    for _ in range(20):
        log.put(other("y" * 100))
    assert log._events[0].params.error.message == "y" * 100
    assert 500 < sum(event.weight for event in log._events) < 1500


async def test_events_of_another_turn_are_not_shown():
    log = TurnLog()
    log.put(delta("mine"))
    log.put(delta("theirs", turn="v"))
    log.close()
    assert await texts(reader(log)) == ["mine"]


async def test_a_turn_waits_a_moment_for_a_reader_that_is_far_behind(mock_clock):
    log, waited = TurnLog(), []
    never, slow = reader(log), reader(log)
    log.put(delta("a"))
    await anext(slow)
    for _ in range(3):
        log.put(other("x" * WEIGHT))

    async def wait():
        begun = trio.current_time()
        await log.room()
        waited.append(trio.current_time() - begun)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not waited
        for _ in range(3):
            await anext(slow)
        await wait_all_tasks_blocked()
        assert waited == [0]  # it has caught up
        for _ in range(3):
            log.put(other("x" * WEIGHT))
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        mock_clock.jump(PATIENCE)
        await wait_all_tasks_blocked()
        assert waited == [0, PATIENCE]
        await wait()  # not again before it has read something
        assert waited == [0, PATIENCE, 0]
    assert never.at == 0
