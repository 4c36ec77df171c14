"""Archiving, bringing back, deleting: work on the files of a thread that nobody may load meanwhile.

The registry closes the thread first where that is wanted, keeps its id occupied while `carry_out` runs, and holds what
is sent to it until then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import trio
from attrs import define, frozen

from spindle.actors.mailbox import Reply, answer
from spindle.rpc.protocol.errors import RpcError, internal_error, invalid_request
from spindle.rpc.protocol.removal import ThreadDeletedNotification
from spindle.rpc.protocol.threads import ThreadArchivedNotification, ThreadUnarchivedNotification
from spindle.storage.rollout.lock import WriterBusy
from spindle.storage.state import StateUnavailable
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.archive import archive, unarchive
from spindle.storage.threads.errors import NoArchivedRollout, StoredThreadError
from spindle.storage.threads.lineage import lineage
from spindle.storage.threads.removal import remove
from spindle.storage.threads.summary import ThreadSummary, read_summary

if TYPE_CHECKING:
    from spindle.actors.thread.services import Services
    from spindle.actors.thread.thread import ThreadActor

log = logging.getLogger("spindle")


class Relocation(Protocol):
    """Work on the files of one thread."""

    @property
    def thread_id(self) -> str:
        """Whose files."""
        ...

    @property
    def reply(self) -> Reply[Any]:
        """Where the answer goes."""
        ...

    def refusal(self, thread: ThreadActor) -> Exception | None:
        """Why it cannot be done while `thread` is loaded; None if it is to be closed for it."""
        ...

    async def carry_out(self, services: Services, relocate: Callable[[Relocation], None]) -> None:
        """Do it, answer and announce it. `relocate` has the same done to other threads. The id is occupied."""
        ...


@frozen
class Archive:
    """Close the thread if it is loaded, then move its rollout to the archive."""

    thread_id: str
    reply: Reply[None]

    def refusal(self, thread: ThreadActor) -> Exception | None:
        """A thread without a rollout has nothing to put away."""
        return _unless_stored(thread, invalid_request(f"no rollout found for thread id {self.thread_id}"))

    async def carry_out(self, services: Services, relocate: Callable[[Relocation], None]) -> None:
        """Move the file."""
        await _moved("archive", self.thread_id, archive, services.home, self.thread_id)
        self.reply.resolve(None)
        services.audience.announce(ThreadArchivedNotification(self.thread_id))


@frozen
class Unarchive:
    """Move an archived rollout back; the thread is not loaded. Answers with what the rollout says, and its section."""

    thread_id: str
    reply: Reply[tuple[ThreadSummary, Placements]]

    def refusal(self, thread: ThreadActor) -> Exception | None:
        """What is loaded is not in the archive."""
        return invalid_request(str(NoArchivedRollout(self.thread_id)))

    async def carry_out(self, services: Services, relocate: Callable[[Relocation], None]) -> None:
        """Move the file."""

        def work() -> ThreadSummary:
            return read_summary(unarchive(services.home, self.thread_id))

        summary = await _moved("unarchive", self.thread_id, work)
        where = await services.state.read_or(lambda db: placements(db, self.thread_id), Placements())
        self.reply.resolve((summary, where))
        services.audience.announce(ThreadUnarchivedNotification(self.thread_id))


@define(eq=False)
class Delete:
    """Close the thread and those spawned from it, then delete them for good."""

    EPHEMERAL: ClassVar[str] = "thread is not persisted and cannot be deleted"

    thread_id: str
    reply: Reply[None]
    announced: bool = True
    """False for a spawned thread, of whose end the deletion of its ancestor tells."""
    _was_loaded: bool = False

    def refusal(self, thread: ThreadActor) -> Exception | None:
        """An ephemeral thread ends with its last subscriber, and a file outside the home is not ours to delete."""
        if hasattr(thread, "state"):
            path = thread.state.conversation.path
            if path is None:
                return invalid_request(f"{self.EPHEMERAL}: {self.thread_id}")
            if not path.is_relative_to(thread.services.home.path):
                return invalid_request(f"thread {self.thread_id} is not in the home and cannot be deleted: {path}")
        self._was_loaded = True  # and need not have a rollout yet
        return None

    async def carry_out(self, services: Services, relocate: Callable[[Relocation], None]) -> None:
        """Delete the descendants, deepest first, then the thread's own files, then what is kept about them."""
        home, id = services.home, self.thread_id
        gone: tuple[str, ...] = ()
        if self.announced:
            found = await _moved("delete", id, lineage, home, id)
            if found.dependants:
                raise invalid_request(f"cannot delete thread {id}: forked history still references it")
            gone = found.descendants
            for child in gone:
                await answer(lambda reply, child=child: relocate(Delete(child, reply, announced=False)))  # type: ignore[misc]
        await _moved("delete", id, lambda: remove(home, id, missing_ok=self._was_loaded))
        await self._forget(services)
        self.reply.resolve(None)
        if self.announced:
            for each in (*gone, id):
                services.audience.announce(ThreadDeletedNotification(each))

    async def _forget(self, services: Services) -> None:
        from spindle.storage.state.deletion import forget_threads

        try:
            if await services.state.read(lambda _: True, False):
                await services.state.change(lambda db: forget_threads(db, [self.thread_id]))
        except StateUnavailable as error:
            log.warning("what is kept about the deleted thread %s stays: %s", self.thread_id, error)


def _unless_stored(thread: ThreadActor, error: RpcError) -> RpcError | None:
    return error if hasattr(thread, "state") and not thread.state.conversation.stored else None


async def _moved(verb: str, thread_id: str, work: Callable[..., Any], *args: Any) -> Any:
    try:
        return await trio.to_thread.run_sync(lambda: work(*args))
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except WriterBusy as error:
        raise invalid_request(f"thread {thread_id} already has an active writer: {error.holder}") from error
    except OSError as error:
        raise internal_error(f"failed to {verb} thread {thread_id}: {error}") from error
