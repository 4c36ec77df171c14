"""The mailbox: how a message reaches an actor, and how its sender gets the answer.

As in gen_server (OTP), a post is sent and forgotten; an ask waits for the answer or the actor's exit. Posting never waits. A
full mailbox is an error that the sender gets at once, or waits out before (`room`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import trio
from attrs import define, field, frozen

log = logging.getLogger("spindle")
T = TypeVar("T")
CAPACITY = 1024
"""Messages an actor may leave unread before senders are refused."""
BURST = 16
"""Messages that an actor receives at most before other tasks run."""


class ActorExited(Exception):
    """The actor ended before it answered; `reason` is the exception it ended with, None for a normal end."""

    def __init__(self, reason: BaseException | None = None) -> None:
        super().__init__(f"actor exited: {reason!r}" if reason else "actor exited")
        self.reason = reason


class MailboxFull(Exception):
    """The actor has too many unread messages."""


@define(eq=False)
class Reply(Generic[T]):
    """Where an answer goes: `on_result` or, also with what that raises, `on_error` is called once, and not again."""

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
        """Stay in `open_replies` until settled. A message that is handed on takes its reply to the next owner's set."""
        if self._open is not None:
            self._open.discard(self)
        if not self._settled:
            self._open = open_replies
            open_replies.add(self)

    def _fail(self, error: Exception) -> None:
        try:
            self.on_error(error)
        except Exception:
            log.exception("an error could not be delivered: %r", error)

    def _settle(self) -> bool:
        first, self._settled = not self._settled, True
        if self._open is not None:
            self._open.discard(self)
        return first


@frozen(kw_only=True)
class Ask(Generic[T]):
    """Base of messages that want an answer."""

    reply: Reply[T]


class Urgent:
    """Base of messages that end or release something: a full mailbox takes them too. Their number is the sender's to bound."""

    __slots__ = ()
    urgent = True


async def answer(send: Callable[[Reply[T]], None]) -> T:
    """Call `send` with a new Reply and wait for its answer; raises what it is rejected with. Cancelling abandons the answer."""
    settled, outcome = trio.Event(), list[Any]()

    def _put(value: Any, error: Exception | None = None) -> None:
        outcome.extend((value, error))
        settled.set()

    send(Reply(_put, lambda error: _put(None, error)))
    await settled.wait()
    if outcome[1] is not None:
        raise outcome.pop()  # popped: its traceback holds this frame
    return outcome[0]  # type: ignore[no-any-return]


class Mailbox:
    """Where one actor receives and all others post. Beyond `capacity` unread messages only urgent ones are taken.

    `accepted` and `seen` count the messages taken and received; `replies` are those that `close` is to reject. Its actor
    handles messages from when it has `begun` until it is not `attended` any more, which may be long before it is closed.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._unread: deque[object] = deque()
        self._ready, self._taken = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()
        self.replies: set[Reply[Any]] = set()
        self._closed: ActorExited | None = None
        self.begun, self.attended = False, True
        self._capacity, self._door = capacity, min(capacity, 2 * BURST)
        self.accepted, self.seen, self._entering = 0, 0, 0

    def post(self, message: object) -> None:
        """Put `message` in without waiting.

        Raises MailboxFull, ActorExited when the mailbox is closed. The reply of a refused message stays the sender's.
        """
        if self._closed is not None:
            raise self._closed
        if self.accepted - self.seen >= self._capacity and not getattr(message, "urgent", False):
            raise MailboxFull
        self.accepted += 1
        if (reply := getattr(message, "reply", None)) is not None:
            reply.track(self.replies)
        self._unread.append(message)
        if self._ready:
            self._ready.unpark()

    async def receive(self) -> object:
        """The next message, for the actor's task. It can be cancelled; other tasks run at least once in `BURST` messages."""
        if self._unread:
            await (trio.lowlevel.checkpoint_if_cancelled if (self.seen + 1) % BURST else trio.lowlevel.checkpoint)()
        while not self._unread:
            self._entering += len(self._taken.unpark_all())  # those let in before may have posted nothing
            await self._ready.park()
        self.seen += 1
        self._entering += len(self._taken.unpark())
        return self._unread.popleft()

    async def ask(self, message: Callable[[Reply[T]], Ask[T]]) -> T:
        """Post the message that `message` builds around a Reply, and wait. Raises as `post`, and what it is rejected with."""
        return await answer(lambda reply: self.post(message(reply)))

    async def room(self) -> None:
        """Wait until two bursts at most are unread, or the mailbox is closed. Senders are let in one by one, in order."""
        if (self._taken or self.accepted - self.seen + self._entering >= self._door) and self._closed is None:
            await self._taken.park()
            self._entering -= 1

    def close(self, reason: Exception | None = None) -> None:
        """Take no more messages, and reject every reply that is still open with `reason` (ActorExited if None)."""
        self._closed = reason if isinstance(reason, ActorExited) else ActorExited(reason)
        self._entering += len(self._taken.unpark_all())
        for reply in tuple(self.replies):
            reply.reject(reason or ActorExited())
        self.replies.clear()
