"""The actor: one task, one nursery, one message at a time, and an exit that somebody is told of.

The split is OTP's: this module owns the loop, the nursery and the end; what a message means is the subclass's. Whoever
supervises passes `watcher` and gets exactly one `Exited`, after everything the actor started has ended.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

import trio
from attrs import frozen

from spindle.actors.kernel.mailbox import ActorExited, Address, Mailbox
from spindle.actors.tasks.boundary import Contained
from spindle.actors.tasks.faults import keyboard, parts

log = logging.getLogger("spindle")


@frozen
class Exited:
    """`actor` has ended: normally, by cancellation, with `error`, or with both where its end went wrong."""

    actor: Actor
    cancelled: bool = False
    error: Exception | None = None


class Actor(ABC):
    """Subclass it with `handle`; run it with `nursery.start_soon(actor.run, watcher)`."""

    nursery: trio.Nursery
    """What ends with the actor; an error in it ends the actor."""
    tasks: Contained
    """The same for what the actor can go on without."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.address = Address(self.mailbox)
        self._stopping = False

    async def started(self) -> None:
        """Called in the actor's task before its first message; an exception here is the actor's exit."""

    @abstractmethod
    async def handle(self, message: object) -> None:
        """Deal with one message."""

    def handled_last(self) -> None:
        """Called once, when the actor handles no more messages, for whatever reason; it may be long before it has ended."""

    async def stopped(self) -> None:
        """Called last, shielded, when the nursery is empty: let go of files and locks. Keep it bounded."""

    def refusal(self, error: Exception | None) -> Exception:
        """What those who still wait for an answer get when the actor has ended with `error`."""
        return ActorExited(error)

    def stop(self) -> None:
        """End after the message at hand; everything in the nursery is cancelled."""
        self._stopping = True

    async def run(self, watcher: Callable[[Exited], None]) -> None:
        """The actor's task: returns when the actor has ended, after telling `watcher`. Lets cancellation through."""
        cancelled, error = False, None
        try:
            async with trio.open_nursery() as self.nursery:
                self.tasks = Contained(self.nursery)
                try:
                    await self.started()
                    while not self._stopping:
                        await self.handle(await self.mailbox.receive())
                finally:
                    self.handled_last()
                self.nursery.cancel_scope.cancel()
        except BaseException as raised:
            if keyboard(raised):
                raise
            cancellation, error = parts(raised)
            if cancellation is not None:
                cancelled = True
                raise cancellation from None
        finally:
            self.mailbox.close(self.refusal(error))
            try:
                with trio.CancelScope(shield=True):
                    await self.stopped()
            except Exception:
                log.exception("error while an actor let go of what it held")
            watcher(Exited(self, cancelled, error))
