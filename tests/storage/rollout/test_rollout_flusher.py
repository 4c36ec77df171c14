"""Grouped fsyncs."""

import threading

import pytest
import trio
import trio.testing

from spindle.storage.rollout.flusher import Flusher
from spindle.storage.rollout.journal import JournalError


class Recorder:
    """Replaces a journal: counts its syncs, and can be held in one or made to fail."""

    def __init__(self, error=None, hold=None):
        self.error, self.hold, self.threads = error, hold, []

    def sync(self):
        self.threads.append(threading.get_ident())
        if self.hold is not None:
            self.hold.wait()
        if self.error is not None:
            raise self.error


async def test_waiters_of_a_round_share_one_sync_of_each_journal():
    flusher, gate = Flusher(), threading.Event()
    blocker, one, two = Recorder(hold=gate), Recorder(), Recorder()
    async with trio.open_nursery() as nursery:
        await nursery.start(flusher.run)
        async with trio.open_nursery() as turns:
            turns.start_soon(flusher.sync, blocker)
            await trio.testing.wait_all_tasks_blocked()
            for journal in (one, one, two):
                turns.start_soon(flusher.sync, journal)
            await trio.testing.wait_all_tasks_blocked()
            assert one.threads == []
            gate.set()
        assert [len(x.threads) for x in (blocker, one, two)] == [1, 1, 1]
        nursery.cancel_scope.cancel()


async def test_an_append_during_a_sync_waits_for_the_next_one():
    flusher, gate = Flusher(), threading.Event()
    journal = Recorder(hold=gate)
    async with trio.open_nursery() as nursery:
        await nursery.start(flusher.run)
        async with trio.open_nursery() as turns:
            turns.start_soon(flusher.sync, journal)
            await trio.testing.wait_all_tasks_blocked()
            turns.start_soon(flusher.sync, journal)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert len(journal.threads) == 2
        nursery.cancel_scope.cancel()


async def test_a_failure_reaches_its_own_waiters_only():
    flusher = Flusher()
    bad, good = Recorder(error=JournalError("broken")), Recorder()
    outcomes = []

    async def one(journal):
        try:
            await flusher.sync(journal)
        except JournalError as error:
            outcomes.append(str(error))
        else:
            outcomes.append("fine")

    async with trio.open_nursery() as nursery:
        await nursery.start(flusher.run)
        async with trio.open_nursery() as turns:
            for journal in (bad, good, bad):
                turns.start_soon(one, journal)
        nursery.cancel_scope.cancel()
    assert sorted(outcomes) == ["broken", "broken", "fine"]


async def test_syncs_work_without_the_grouping_task_and_after_it():
    flusher, journal = Flusher(), Recorder()
    await flusher.sync(journal)
    async with trio.open_nursery() as nursery:
        await nursery.start(flusher.run)
        nursery.cancel_scope.cancel()
    await flusher.sync(journal)
    assert len(journal.threads) == 2
    assert threading.get_ident() not in journal.threads
    with pytest.raises(JournalError):
        await flusher.sync(Recorder(error=JournalError("broken")))


async def test_waiters_at_the_end_of_the_grouping_task_are_synced():
    flusher, gate = Flusher(), threading.Event()
    blocker, late = Recorder(hold=gate), Recorder()
    async with trio.open_nursery() as turns, trio.open_nursery() as nursery:
        await nursery.start(flusher.run)
        turns.start_soon(flusher.sync, blocker)
        await trio.testing.wait_all_tasks_blocked()
        turns.start_soon(flusher.sync, late)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        gate.set()
    assert len(late.threads) == 1
