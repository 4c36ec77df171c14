"""The actor: one task, one nursery, one message at a time, and one exit.

The split is that of gen_server (OTP): this module owns the loop, the nursery and the end; the subclass says what a message
means. The `watcher` is called with exactly one `Exited`, after all that the actor started has ended.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

import trio
from attrs import frozen

from spindle.actors.kernel.mailbox import ActorExited, Mailbox

log = logging.getLogger("spindle")


def single(raised: BaseException) -> BaseException:
    """The error in `raised`, without the groups around it if it is the only one."""
    inner: tuple[BaseException, ...] = getattr(raised, "exceptions", ())
    return single(inner[0]) if len(inner) == 1 else raised


@frozen
class Exited:
    """`actor` has ended: normally, by cancellation, with `error`, or with both if its end failed too."""

    actor: Actor
    cancelled: bool = False
    error: BaseException | None = None


class Actor(ABC):
    """Subclass it with `handle`; run it with `nursery.start_soon(actor.run, watcher)`."""

    nursery: trio.Nursery
    """Its tasks end with the actor; an error in one of them ends the actor."""

    def __init__(self, mailbox: Mailbox | None = None) -> None:
        self.mailbox = mailbox or Mailbox()
        self._stopping = False

    async def started(self) -> None:
        """Called in the actor's task before the first message; an exception here is the actor's exit."""

    @abstractmethod
    async def handle(self, message: object) -> None:
        """Handle one message; an exception here is the actor's exit."""

    async def stopped(self) -> None:
        """Called last, shielded, when the nursery is empty: release files and locks. Keep it bounded."""

    def refusal(self, error: BaseException | None) -> Exception:
        """What callers get that still wait for an answer when the actor has ended with `error`."""
        return ActorExited(error)

    def stop(self) -> None:
        """End after the current message; all tasks in the nursery are cancelled."""
        self._stopping = True

    async def attend(self) -> None:
        """Start, and handle messages until `stop`. Override it to put a scope around that."""
        await self.started()
        self.mailbox.begun = True
        while not self._stopping:
            await self.handle(await self.receive())

    async def receive(self) -> object:
        """The next message: from the mailbox, unless an actor at the edge overrides this and reads from outside."""
        return await self.mailbox.receive()

    async def run(self, watcher: Callable[[Exited], None]) -> None:
        """The actor's task: returns when the actor has ended and `watcher` was called. Cancellation passes through."""
        cancelled, error = False, None
        try:
            async with trio.open_nursery() as self.nursery:
                try:
                    await self.attend()
                finally:
                    self.mailbox.attended = False
                self.nursery.cancel_scope.cancel()
        except* trio.Cancelled:
            cancelled = True
            raise
        except* KeyboardInterrupt:  # the program's, not the actor's
            raise
        except* BaseException as raised:
            error = single(raised)
        finally:
            self.mailbox.close(self.refusal(error))
            try:
                with trio.CancelScope(shield=True):
                    await self.stopped()
            except Exception:
                log.exception("an actor could not release what it held")
            watcher(Exited(self, cancelled, error))
