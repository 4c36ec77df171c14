"""The actor's life: one message at a time, one exit, and no harm to others."""

from typing import Any

import pytest
import trio
from attrs import frozen
from trio.testing import wait_all_tasks_blocked

from spindle.actors.kernel.actor import Actor
from spindle.actors.kernel.mailbox import ActorExited, Ask


@frozen(kw_only=True)
class Sum(Ask[int]):
    number: int


@frozen(kw_only=True)
class Never(Ask[int]):
    """Not answered."""


class Boom(Exception):
    pass


class Adder(Actor):
    """Adds numbers up. "stop" ends it, "boom" crashes it, "child" starts a task, "fail" one that crashes, an event is
    waited for."""

    def __init__(self, *, fail_at_start=False, fail_at_end=False):
        super().__init__()
        self.total = 0
        self.log = []
        self.fail_at_start, self.fail_at_end = fail_at_start, fail_at_end

    async def started(self):
        self.log.append("started")
        if self.fail_at_start:
            raise Boom

    async def stopped(self):
        self.log.append("stopped")
        await trio.lowlevel.checkpoint()  # shielded
        if self.fail_at_end:
            raise Boom

    async def handle(self, message):
        match message:
            case Sum():
                before = self.total
                await trio.lowlevel.checkpoint()
                self.total = before + message.number
                message.reply.resolve(self.total)
            case trio.Event():
                await message.wait()
            case "stop":
                self.stop()
            case "boom":
                raise Boom
            case "child":
                self.nursery.start_soon(self.child)
            case "fail":
                self.nursery.start_soon(self.crash)

    async def child(self):
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("child ended")

    async def crash(self):
        raise Boom


def add(number):
    return lambda reply: Sum(reply=reply, number=number)


def never(reply):
    return Never(reply=reply)


async def run(actor, *messages):
    """Run the actor on `messages` to its end; its exit."""
    exits: list[Any] = []
    for message in messages:
        actor.mailbox.post(message)
    await actor.run(exits.append)
    [exited] = exits
    assert exited.actor is actor
    return exited


async def test_messages_are_handled_one_at_a_time(nursery):
    exits: list[Any] = []
    answers: list[Any] = []
    actor = Adder()
    nursery.start_soon(actor.run, exits.append)

    async def ask():
        answers.append(await actor.mailbox.ask(add(1)))

    async with trio.open_nursery() as asking:
        for _ in range(20):
            asking.start_soon(ask)
    assert sorted(answers) == list(range(1, 21))
    actor.mailbox.post("stop")
    await wait_all_tasks_blocked()
    assert len(exits) == 1


async def test_a_normal_end_ends_what_was_started_before_it_is_told():
    actor = Adder()
    exited = await run(actor, "child", "stop", "boom")
    assert (exited.cancelled, exited.error) == (False, None)
    assert actor.log[0] == "started"
    assert actor.log[-1] == "stopped"
    assert "boom" not in actor.log


@pytest.mark.parametrize("message", ["boom", "fail"])
async def test_a_crash_is_an_exit_and_not_an_exception(message):
    actor = Adder()
    exited = await run(actor, "child", message)
    assert not exited.cancelled
    assert isinstance(exited.error, Boom)
    assert actor.log[-1] == "stopped"


async def test_a_crash_at_the_start_is_an_exit_too():
    actor = Adder(fail_at_start=True)
    exited = await run(actor)
    assert isinstance(exited.error, Boom)
    assert actor.log == ["started", "stopped"]


async def test_a_failure_to_let_go_is_logged_and_the_exit_still_told(caplog):
    exited = await run(Adder(fail_at_end=True), "stop")
    assert exited.error is None
    assert "could not release" in caplog.text


async def test_cancellation_goes_through_and_is_told():
    exits: list[Any] = []
    actor = Adder()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run, exits.append)
            actor.mailbox.post("child")
            await wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    [exited] = exits
    assert (exited.cancelled, exited.error) == (True, None)
    assert actor.log == ["started", "child ended", "stopped"]


async def test_keyboard_interrupt_is_nobodys_exit():
    class Interrupted(Adder):
        async def handle(self, message):
            raise KeyboardInterrupt

    exits: list[Any] = []
    actor = Interrupted()
    actor.mailbox.post("x")
    with pytest.raises(BaseException) as caught:
        await actor.run(exits.append)
    error = caught.value
    assert isinstance(error, KeyboardInterrupt) or (
        isinstance(error, BaseExceptionGroup) and error.split(KeyboardInterrupt)[1] is None
    )
    assert len(exits) == 1


async def test_one_actors_crash_does_not_touch_another():
    exits: list[Any] = []
    one, other = Adder(), Adder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, exits.append)
        nursery.start_soon(other.run, exits.append)
        assert await other.mailbox.ask(add(1)) == 1
        one.mailbox.post("boom")
        await wait_all_tasks_blocked()
        assert [exited.actor for exited in exits] == [one]
        assert await other.mailbox.ask(add(2)) == 3
        other.mailbox.post("stop")
    assert [exited.actor for exited in exits] == [one, other]


@pytest.mark.parametrize(("last", "reason"), [("stop", type(None)), ("boom", Boom), ("fail", Boom)])
async def test_open_questions_are_rejected_at_the_exit(last, reason):
    """Those that were read and those that were not."""
    exits: list[Any] = []
    raised: list[Any] = []
    actor = Adder()

    async def ask():
        try:
            await actor.mailbox.ask(never)
        except Exception as error:
            raised.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        actor.mailbox.post(last)
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert raised == []
        nursery.start_soon(actor.run, exits.append)
    assert [type(error) for error in raised] == [ActorExited, ActorExited]
    assert [type(error.reason) for error in raised] == [reason, reason]
    assert len(exits) == 1
    with pytest.raises(ActorExited):
        await actor.mailbox.ask(add(1))


async def test_open_questions_are_rejected_when_the_actor_is_cancelled():
    exits: list[Any] = []
    actor = Adder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run, exits.append)

        async def cancel():
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

        nursery.start_soon(cancel)
        with trio.CancelScope(shield=True), pytest.raises(ActorExited):
            await actor.mailbox.ask(never)


async def test_cancelling_a_question_never_corrupts_the_actor(nursery):
    """Whether it waits in the mailbox, is being dealt with, or has just been answered."""
    exits: list[Any] = []
    actor, gate = Adder(), trio.Event()
    nursery.start_soon(actor.run, exits.append)
    actor.mailbox.post(gate)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as asking:
            for _ in range(10):
                asking.start_soon(actor.mailbox.ask, add(1))
            await wait_all_tasks_blocked()
            scope.cancel()
    gate.set()
    assert await actor.mailbox.ask(add(0)) == 10
    for steps in range(6):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as asking:
                asking.start_soon(actor.mailbox.ask, add(1))
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
    assert 10 <= await actor.mailbox.ask(add(0)) <= 16
    assert exits == []
    actor.mailbox.post("stop")
    await wait_all_tasks_blocked()
    assert len(exits) == 1
