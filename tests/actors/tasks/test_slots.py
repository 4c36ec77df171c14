"""Slots: who gets one, and when one counts no more."""

import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tasks.slots import Slots


class Workers:
    """Work that holds a slot until it is ended; `began` says in which order."""

    def __init__(self, nursery: trio.Nursery, slots: Slots) -> None:
        self._nursery, self._slots = nursery, slots
        self.began: list[str] = []
        self._go: dict[str, trio.Event] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    async def ask(self, *names: str) -> None:
        for name in names:
            self._go[name], self.scopes[name] = trio.Event(), trio.CancelScope()
            self._nursery.start_soon(self._work, name)
            await wait_all_tasks_blocked()

    async def _work(self, name: str) -> None:
        with self.scopes[name]:
            slot = await self._slots.take()
            try:
                self.began.append(name)
                await self._go[name].wait()
            finally:
                self._slots.give_back(slot)

    async def end(self, *names: str) -> None:
        for name in names:
            self._go[name].set()
        await wait_all_tasks_blocked()


async def test_slots_are_given_in_the_order_of_asking(nursery: trio.Nursery) -> None:
    workers = Workers(nursery, Slots(2, 100))
    await workers.ask("a", "b", "c", "d", "e")
    assert workers.began == ["a", "b"]
    await workers.end("b")
    assert workers.began == ["a", "b", "c"]
    await workers.end("a")
    await workers.end("c")
    assert workers.began == ["a", "b", "c", "d", "e"]
    await workers.end("d", "e")
    await workers.ask("f", "g", "h")
    assert workers.began[5:] == ["f", "g"]


async def test_work_that_waits_keeps_no_other_from_running(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    workers = Workers(nursery, Slots(2, 10))
    await workers.ask("a", "b")
    await trio.sleep(9)
    await workers.ask("c", "d", "e")
    assert workers.began == ["a", "b"]
    await trio.sleep(1.5)
    assert {*workers.began} == {"a", "b", "c", "d"}
    await workers.end("a", "b")  # they have no slot to give back any more
    assert "e" not in workers.began
    await workers.end("c")
    assert workers.began[-1] == "e"


async def test_a_slot_that_is_not_asked_for_is_kept(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    workers = Workers(nursery, Slots(1, 10))
    await workers.ask("a")
    await trio.sleep(100)
    await workers.ask("b")  # at once: the other has held it long enough
    assert workers.began == ["a", "b"]
    await workers.ask("c")
    assert workers.began == ["a", "b"]


async def test_what_is_cancelled_while_it_waits_takes_no_slot(nursery: trio.Nursery) -> None:
    workers = Workers(nursery, Slots(1, 100))
    await workers.ask("a", "b", "c")
    workers.scopes["b"].cancel()
    await workers.end("a")
    assert workers.began == ["a", "c"]
    await workers.end("c")
    await workers.ask("d")
    assert workers.began == ["a", "c", "d"]


async def test_what_is_cancelled_when_it_has_got_a_slot_passes_it_on(nursery: trio.Nursery) -> None:
    slots = Slots(1, 100)
    workers = Workers(nursery, slots)
    first = await slots.take()
    await workers.ask("a", "b")
    slots.give_back(first)
    workers.scopes["a"].cancel()
    await wait_all_tasks_blocked()
    assert workers.began[-1] == "b"
