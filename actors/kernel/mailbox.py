"""The mailbox: how anything reaches an actor, and how it gets its answer.

The shape is gen_server's cast and call (OTP): `Address.cast` sends and forgets, `Address.ask` waits for the answer or
for the actor's exit, whichever comes first; silence is not among the outcomes. Posting never waits, so whoever posts
can decide and record in one step; a full mailbox is an error the sender sees at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Generic, TypeGuard, TypeVar

import trio
from attrs import define, field, frozen

log = logging.getLogger("spindle")

T = TypeVar("T")

CAPACITY = 1024
"""Messages an actor may leave unread before senders are told that it is overloaded."""


class ActorExited(Exception):
    """The actor ended before it answered; `reason` is the exception it ended with, or None for a normal end."""

    def __init__(self, reason: BaseException | None = None) -> None:
        super().__init__(f"actor exited: {reason!r}" if reason else "actor exited")
        self.reason = reason


class MailboxFull(Exception):
    """The actor has `CAPACITY` unread messages."""


@define(eq=False)
class Reply(Generic[T]):
    """The place an answer goes: `on_result` or `on_error` is called, once; later settlements are ignored.

    A result that `on_result` raises on becomes that error. What `on_error` raises is logged: the one who answers has
    nothing to do with it.
    """

    on_result: Callable[[T], None]
    on_error: Callable[[Exception], None]
    _open: set[Reply[Any]] | None = field(default=None, init=False)
    _settled: bool = field(default=False, init=False)

    def resolve(self, value: T) -> None:
        """Answer with `value`."""
        if self._settle():
            try:
                self.on_result(value)
            except Exception as error:
                self._fail(error)

    def reject(self, error: Exception) -> None:
        """Answer with `error`."""
        if self._settle():
            self._fail(error)

    def track(self, open_replies: set[Reply[Any]]) -> None:
        """Be a member of `open_replies` until settled. Handing the message on moves the reply to the next owner's set."""
        if self._settled:
            return
        if self._open is not None:
            self._open.discard(self)
        self._open = open_replies
        open_replies.add(self)

    def _fail(self, error: Exception) -> None:
        try:
            self.on_error(error)
        except Exception:
            log.exception("an error could not be delivered: %r", error)

    def _settle(self) -> bool:
        if self._settled:
            return False
        self._settled = True
        if self._open is not None:
            self._open.discard(self)
        return True


@frozen(kw_only=True)
class Ask(Generic[T]):
    """Base of the messages that want an answer."""

    reply: Reply[T]


class Urgent:
    """Base of the messages that end or release something: they are never refused for want of room.

    How many there may be is for the sender to bound.
    """

    __slots__ = ()


def wants_answer(message: object) -> TypeGuard[Ask[Any]]:
    """Whether somebody waits for an answer to the message."""
    return isinstance(message, Ask)


class _Answer(Generic[T]):
    """An awaitable slot behind a Reply."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._value: T
        self._error: Exception | None = None
        self.reply: Reply[T] = Reply(self._set, self._fail)

    def _set(self, value: T) -> None:
        self._value = value
        self._event.set()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._event.set()

    async def wait(self) -> T:
        await self._event.wait()
        if self._error is not None:
            raise self._error
        return self._value


async def answer(send: Callable[[Reply[T]], None]) -> T:
    """Call `send` with a fresh Reply and wait for it to be settled; raises what it is rejected with.

    Cancelling the wait abandons the answer, nothing else: the reply is settled into the void.
    """
    slot: _Answer[T] = _Answer()
    send(slot.reply)
    return await slot.wait()


class Mailbox:
    """The receiving end, owned by one actor; iterate it to receive."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._send, self._receive = trio.open_memory_channel[Any](math.inf)
        self._open: set[Reply[Any]] = set()
        self._closed = False
        self._reason: Exception | None = None
        self._capacity = capacity
        self.accepted = 0
        self.seen = 0

    def post(self, message: object) -> None:
        """Put `message` in without waiting. `Urgent` ones are let in past the capacity.

        Raises ActorExited after the end, MailboxFull when the reader is too far behind. A message with a reply that
        is not accepted leaves the reply unsettled: the sender still holds it.
        """
        if self._closed:
            raise self._reason if isinstance(self._reason, ActorExited) else ActorExited(self._reason)
        if not isinstance(message, Urgent) and self.accepted - self.seen >= self._capacity:
            raise MailboxFull
        self.accepted += 1
        if wants_answer(message):
            message.reply.track(self._open)
        self._send.send_nowait(message)

    async def receive(self) -> object:
        """The next message; a checkpoint."""
        message = await self._receive.receive()
        self.seen += 1
        return message

    def track(self, reply: Reply[Any]) -> None:
        """Reject `reply` too when the mailbox is closed, unless it is settled by then."""
        reply.track(self._open)

    def close(self, reason: Exception | None = None) -> None:
        """Refuse further messages and reject every reply still open with `reason` (ActorExited if None)."""
        self._closed, self._reason = True, reason
        for reply in tuple(self._open):
            reply.reject(reason or ActorExited())
        self._open.clear()
        self._send.close()
        self._receive.close()


class Address:
    """What others hold of an actor."""

    __slots__ = ("_mailbox",)

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    @property
    def accepted(self) -> int:
        """How many messages the mailbox has ever taken in."""
        return self._mailbox.accepted

    def cast(self, message: object) -> None:
        """Send without waiting; raises ActorExited or MailboxFull."""
        self._mailbox.post(message)

    async def ask(self, message: Callable[[Reply[T]], Ask[T]]) -> T:
        """Send the message that `message` builds around a Reply, and wait for its answer.

        Raises what the actor rejects with, ActorExited if it ends first, MailboxFull.
        """
        return await answer(lambda reply: self.cast(message(reply)))
