"""Posting, asking, and what becomes of the questions when the mailbox closes."""

from typing import Any

import pytest
import trio
from attrs import frozen
from trio.testing import assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from spindle.actors.kernel.mailbox import BURST, ActorExited, Ask, Mailbox, MailboxFull, Reply, Urgent, answer


@frozen(kw_only=True)
class Question(Ask[int]):
    number: int = 0


@frozen
class Stop(Urgent):
    pass


def collected():
    """A reply, and the list of how it was settled."""
    settled = []
    return Reply(lambda value: settled.append(("ok", value)), lambda error: settled.append(("error", error))), settled


async def test_messages_come_out_in_the_order_they_went_in_and_are_counted():
    mailbox = Mailbox()
    for number in range(3):
        mailbox.post(number)
    assert (mailbox.accepted, mailbox.seen) == (3, 0)
    assert [await mailbox.receive() for _ in range(3)] == [0, 1, 2]
    assert (mailbox.accepted, mailbox.seen) == (3, 3)


async def test_posting_never_waits_and_receiving_can_be_cancelled():
    mailbox = Mailbox()
    with assert_no_checkpoints():
        mailbox.post("x")
    await mailbox.receive()
    for number in range(BURST):
        mailbox.post(number)
    for number in range(BURST):
        with trio.CancelScope() as scope:
            scope.cancel()
            await mailbox.receive()
        assert scope.cancelled_caught
        assert await mailbox.receive() == number


async def test_other_tasks_run_while_an_actor_has_messages_to_receive():
    mailbox, turns = Mailbox(), 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.lowlevel.checkpoint()
        before = turns
        for number in range(10 * BURST):
            mailbox.post(number)
        for _ in range(10 * BURST):
            await mailbox.receive()
        assert 9 <= turns - before <= 11
        mailbox.post("the last of a burst")
        mailbox.seen += BURST - 1
        mailbox.accepted += BURST - 1
        with assert_checkpoints():
            await mailbox.receive()
        nursery.cancel_scope.cancel()


async def test_a_full_mailbox_refuses_all_but_urgent_messages_and_counts_only_what_it_takes():
    mailbox = Mailbox(capacity=2)
    mailbox.post(1)
    mailbox.post(2)
    with pytest.raises(MailboxFull):
        mailbox.post(3)
    stop = Stop()
    mailbox.post(stop)
    assert mailbox.accepted == 3
    assert [await mailbox.receive() for _ in range(3)] == [1, 2, stop]
    mailbox.post(4)
    assert mailbox.accepted == 4


async def test_a_refused_question_is_still_the_senders():
    mailbox = Mailbox(capacity=0)
    reply, settled = collected()
    with pytest.raises(MailboxFull):
        mailbox.post(Question(reply=reply))
    mailbox.close()
    assert settled == []
    reply.resolve(1)
    assert settled == [("ok", 1)]


async def test_closing_rejects_every_open_question_once():
    mailbox = Mailbox()
    read, unread, done = collected(), collected(), collected()
    for reply, _ in (read, done, unread):
        mailbox.post(Question(reply=reply))
    await mailbox.receive()
    finished: Any = await mailbox.receive()
    finished.reply.resolve(7)
    mailbox.close()
    assert done[1] == [("ok", 7)]
    for _, settled in (read, unread):
        [(kind, error)] = settled
        assert kind == "error"
        assert isinstance(error, ActorExited)
    read[0].resolve(8)  # too late, and harmless
    assert len(read[1]) == 1


async def test_the_reason_of_the_end_reaches_those_who_wait_and_those_who_come_later():
    mailbox, reason = Mailbox(), ValueError("why")
    reply, settled = collected()
    mailbox.post(Question(reply=reply))
    mailbox.close(reason)
    assert settled == [("error", reason)]
    with pytest.raises(ActorExited) as caught:
        mailbox.post("late")
    assert caught.value.reason is reason
    with pytest.raises(ActorExited):
        mailbox.post(Stop())


async def test_a_message_handed_on_belongs_to_its_new_owner():
    first, second = Mailbox(), Mailbox()
    reply, settled = collected()
    first.post(Question(reply=reply))
    second.post(await first.receive())
    first.close()
    assert settled == []
    second.close()
    assert [kind for kind, _ in settled] == ["error"]


def test_only_the_first_settlement_counts():
    reply, settled = collected()
    reply.resolve(1)
    reply.reject(ValueError())
    reply.resolve(2)
    assert settled == [("ok", 1)]


async def test_ask_returns_the_answer_or_raises_the_refusal():
    mailbox = Mailbox()

    async def serve():
        async with trio.open_nursery():
            message: Any = await mailbox.receive()
            message.reply.resolve(message.number + 1)
            message = await mailbox.receive()
            message.reply.reject(ValueError("no"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        assert await mailbox.ask(lambda reply: Question(reply=reply, number=1)) == 2
        with pytest.raises(ValueError, match="no"):
            await mailbox.ask(lambda reply: Question(reply=reply))
    assert mailbox.accepted == 2


async def test_an_ask_of_a_mailbox_that_closes_does_not_hang():
    mailbox = Mailbox()
    raised = []

    async def ask():
        try:
            await mailbox.ask(lambda reply: Question(reply=reply))
        except ActorExited as error:
            raised.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert raised == []
        mailbox.close()
    assert len(raised) == 1
    with pytest.raises(ActorExited):
        await mailbox.ask(lambda reply: Question(reply=reply))


async def test_a_cancelled_ask_leaves_a_question_that_can_be_answered_into_the_void():
    mailbox = Mailbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.ask, lambda reply: Question(reply=reply, number=5))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    message: Any = await mailbox.receive()
    assert message.number == 5
    message.reply.resolve(1)
    mailbox.close()


async def test_answer_takes_an_answer_that_is_there_already():
    def send(reply: Reply[int]) -> None:
        reply.resolve(3)

    assert await answer(send) == 3


def test_a_result_that_cannot_be_delivered_is_answered_with_the_error():
    settled = []

    def refuse(value):
        raise ValueError(value)

    reply = Reply(refuse, lambda error: settled.append(repr(error)))
    reply.resolve("no")
    reply.resolve("again")
    reply.reject(KeyError())
    assert settled == ["ValueError('no')"]


def test_an_error_that_cannot_be_delivered_is_logged(caplog):
    def refuse(value):
        raise ValueError(value)

    Reply(refuse, refuse).resolve("no")
    assert "could not be delivered" in caplog.text


async def test_senders_that_wait_for_room_take_turns(nursery):
    """One that posts without end is let in no sooner than the others."""
    mailbox = Mailbox()

    async def post(name, number):
        for _ in range(number):
            await mailbox.room()
            mailbox.post(name)

    for name in ("one", "two"):
        nursery.start_soon(post, name, 1000)
    await wait_all_tasks_blocked()
    assert mailbox.accepted == 2 * BURST
    nursery.start_soon(post, "quiet", 2)
    await wait_all_tasks_blocked()
    received = []
    for _ in range(2 * BURST + 3 + 3):
        received.append(await mailbox.receive())
        await wait_all_tasks_blocked()
    assert received[2 * BURST :].count("quiet") == 2


async def test_who_is_let_in_and_posts_nothing_stops_no_other(nursery):
    mailbox, let_in = Mailbox(1), []

    async def enter(name):
        await mailbox.room()
        let_in.append(name)

    mailbox.post("full")
    for name in ("a", "b"):
        nursery.start_soon(enter, name)
        await wait_all_tasks_blocked()
    assert let_in == []
    await mailbox.receive()
    await wait_all_tasks_blocked()
    assert let_in == ["a"]
    nursery.start_soon(mailbox.receive)
    await wait_all_tasks_blocked()
    assert let_in == ["a", "b"]
