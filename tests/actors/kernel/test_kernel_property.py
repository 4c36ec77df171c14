"""The kernel's promises, for generated sequences: no message is lost or given twice, and every ask is answered once."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import pytest
import trio
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spindle.actors.kernel import incarnations as module
from spindle.actors.kernel.actor import Actor, Exited
from spindle.actors.kernel.incarnations import AWAY, Announce, Incarnations, Post, Replay, Stop
from spindle.actors.kernel.mailbox import ActorExited, Ask, Mailbox, MailboxFull, Reply, Urgent

KEYS = st.sampled_from([1, ("a", 2)])
"""Any hashable value is an id."""
LIMIT = 3


class Table(RuleBasedStateMachine):
    """A supervisor without tasks: mailboxes stand for actors."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Incarnations[Any] = Incarnations()
        self.mailboxes: dict[Any, Mailbox] = {}
        self.generations: dict[Any, int] = {}
        self.sent: Counter[int] = Counter()
        self.came: Counter[int] = Counter()
        """Messages by what became of them: posted to an actor that takes messages, refused, or returned as absent."""
        self.stopped: set[Any] = set()
        self.ends: Counter[int] = Counter()
        self.next = 0

    def carry_out(self, effects: list[Any] | None, message: int | None = None) -> None:
        if effects is None:
            assert message is not None
            self.came[message] += 1
            return
        todo = deque(effects)
        while todo:
            match todo.popleft():
                case Post(mailbox, posted):
                    key = next(key for key, own in self.mailboxes.items() if own is mailbox)
                    assert key not in self.stopped, "posted to an actor that has been stopped"
                    assert mailbox.attended, "posted to an actor that handles no more messages"
                    mailbox.post(posted)
                    self.came[posted] += 1
                case Stop(mailbox):
                    key = next(key for key, own in self.mailboxes.items() if own is mailbox)
                    assert key not in self.stopped, "stopped twice"
                    self.stopped.add(key)
                case Announce(key=key):
                    self.ends[self.generations[key]] += 1
                case Replay(messages):
                    for held in messages:
                        self.route(held_key[held], held)

    def route(self, key: Any, message: int) -> None:
        try:
            self.carry_out(self.table.route(key, message, urgent=message % 5 == 0), message)
        except MailboxFull:
            assert message % 5, "an urgent message was refused"
            self.came[message] += 1

    @rule(key=KEYS)
    def send(self, key: Any) -> None:
        self.next += 1
        held_key[self.next] = key
        self.sent[self.next] += 1
        self.route(key, self.next)

    @rule(key=KEYS)
    def flood(self, key: Any) -> None:
        for _ in range(2 * LIMIT):
            self.send(key)

    @rule(key=KEYS)
    def open(self, key: Any) -> None:
        if self.table.phase(key) is not None:
            with pytest.raises(ValueError, match="incarnation already"):
                self.table.open(key, Mailbox())
            return
        self.mailboxes[key] = Mailbox()
        self.generations[key] = self.table.open(key, self.mailboxes[key])

    @rule(key=KEYS)
    def occupy(self, key: Any) -> None:
        if self.table.phase(key) is None:
            self.generations[key] = self.table.occupy(key)

    @rule(key=KEYS)
    def begin(self, key: Any) -> None:
        if key in self.mailboxes:
            self.mailboxes[key].begun = True

    @rule(key=KEYS, old=st.booleans())
    def started(self, key: Any, old: bool) -> None:
        before = self.table.phase(key)
        self.carry_out(self.table.started(key, self.generations.get(key, 0) - old))
        if old:
            assert self.table.phase(key) == before

    @rule(key=KEYS, old=st.booleans(), behind=st.integers(0, 1))
    def retire(self, key: Any, old: bool, behind: int) -> None:
        mailbox = self.mailboxes.get(key)
        seen = mailbox.accepted - behind if mailbox is not None else 0
        before = self.table.phase(key)
        self.carry_out(self.table.retire(key, self.generations.get(key, 0) - old, seen))
        if old or behind:
            assert self.table.phase(key) == before, "it left though a message was on its way, or for another generation"

    @rule(key=KEYS)
    def close(self, key: Any) -> None:
        self.carry_out(self.table.close(key))

    @rule(key=KEYS)
    def crash(self, key: Any) -> None:
        if key in self.mailboxes and self.table.phase(key) in ("starting", "live", "closing"):
            self.mailboxes[key].attended = False

    @precondition(lambda self: self.generations)
    @rule(key=KEYS)
    def gone(self, key: Any) -> None:
        phase = self.table.phase(key)
        if phase is None:
            return
        generation = self.generations[key]
        self.mailboxes.pop(key, None)
        self.stopped.discard(key)
        assert self.table.gone(key, generation - 1) == []
        effects = self.table.gone(key, generation)
        assert effects[0] == Announce(key, effects[0].begun)  # type: ignore[union-attr]
        self.carry_out(effects)
        assert self.table.gone(key, generation) == []

    @invariant()
    def nothing_is_lost_or_given_twice(self) -> None:
        held: Counter[int] = Counter()
        for one in self.table._table.values():
            held.update(one.held)  # type: ignore[arg-type]
        assert self.came + held == self.sent

    @invariant()
    def every_incarnation_ends_at_most_once(self) -> None:
        assert all(count == 1 for count in self.ends.values())

    @invariant()
    def only_urgent_messages_are_held_beyond_the_bound(self) -> None:
        for one in self.table._table.values():
            assert len([message for message in one.held if message % 5]) <= LIMIT  # type: ignore[operator]

    @invariant()
    def what_takes_messages_is_in_a_phase_for_it(self) -> None:
        for key in self.table:
            assert (self.table.phase(key) in AWAY) or self.table._table[key].mailbox is not None


held_key: dict[int, Any] = {}


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", LIMIT)


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# -- mailboxes and actors


@frozen(kw_only=True)
class Question(Ask[int]):
    number: int


@frozen(kw_only=True)
class UrgentQuestion(Urgent, Question):
    pass


class Boom(Exception):
    pass


class Answering(Actor):
    """Answers odd numbers, leaves even ones open, crashes at 13, ends at 17."""

    def __init__(self, capacity: int) -> None:
        super().__init__(Mailbox(capacity))
        self.handled: list[int] = []

    async def handle(self, message: object) -> None:
        assert isinstance(message, Question)
        self.handled.append(message.number)
        await trio.lowlevel.checkpoint()
        if message.number == 13:
            raise Boom
        if message.number == 17:
            self.stop()
        elif message.number % 2:
            message.reply.resolve(message.number)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, 3)), max_size=30),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_every_ask_is_answered_once_and_what_was_taken_is_handled_in_order(messages, capacity, cancelled, seed):
    answers: Counter[int] = Counter()
    exits: list[Exited] = []
    taken: list[int] = []
    refused: list[bool] = []

    async def main() -> list[int]:
        actor = Answering(capacity)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run, exits.append)
            for at, (number, urgent, steps) in enumerate(messages):

                def settled(_: object, at: int = at) -> None:
                    answers[at] += 1

                kind = UrgentQuestion if urgent else Question
                try:
                    actor.mailbox.post(kind(reply=Reply(settled, settled), number=number))
                    taken.append(number)
                except MailboxFull:
                    refused.append(urgent)
                    answers[at] += 1  # the sender still holds the reply
                except ActorExited:
                    answers[at] += 1
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
            if cancelled:
                nursery.cancel_scope.cancel()
            else:
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        return actor.handled

    trio._core._run._r.seed(seed)
    handled = trio.run(main)
    assert answers == Counter(range(len(messages)))
    assert len(exits) == 1
    assert not any(refused), "an urgent message was refused for want of room"
    assert handled == taken[: len(handled)]
    if not cancelled and exits[0].error is None and 17 not in handled:
        assert handled == taken
