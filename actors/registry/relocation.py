"""Archive, unarchive, delete: work on the files of a thread that must not be loaded meanwhile.

A loaded thread is closed first, but only if nothing forbids the work: `refusal` checks the thread, `check` the disk.
From then on the registry holds what is sent to the thread, and it keeps the id occupied while `carry_out` runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import trio
from attrs import field

from spindle.actors.kernel.mailbox import Reply, answer
from spindle.actors.services.services import Services
from spindle.actors.thread.state import OpenedThread
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.errors import ThreadNotFound, internal_error, invalid_request
from spindle.rpc.protocol.removal import ThreadDeletedNotification
from spindle.rpc.protocol.threads import ThreadArchivedNotification, ThreadUnarchivedNotification
from spindle.storage.home import Home
from spindle.storage.rollout.writer_lock import WriterBusy, check_free
from spindle.storage.state import StateUnavailable
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.archive import archive, check_archive, unarchive
from spindle.storage.threads.lineage import Lineage, lineage
from spindle.storage.threads.removal import remove
from spindle.storage.threads.summary import ThreadSummary, read_summary
from spindle.storage.threads.thread_errors import NoArchivedRollout, NoRollout, StoredThreadError

log = logging.getLogger("spindle")


@frozen
class Relocation:
    """Work on the files of one thread. `was_loaded`: the thread was loaded and has been closed for it."""

    thread_id: str
    reply: Reply[Any]
    was_loaded: bool = field(default=False, kw_only=True)

    def refusal(self, thread: OpenedThread, home: Home) -> Exception | None:
        """Why it cannot be done while `thread` is loaded; None if it may be closed for it."""
        raise NotImplementedError

    async def check(self, services: Services) -> None:
        """Raise what `carry_out` would, as far as the disk shows it while the thread is loaded. Changes nothing."""

    async def carry_out(self, services: Services, relocate: Callable[[Delete], None]) -> None:
        """Do it, answer and announce it. `relocate` does the same to other threads. The id is occupied."""
        raise NotImplementedError


@frozen
class Archive(Relocation):
    """Close the thread if it is loaded, then move its rollout to the archive. Answers with None."""

    def refusal(self, thread: OpenedThread, home: Home) -> Exception | None:
        """A thread without a rollout has nothing to put away."""
        unstored = thread.ephemeral or not thread.conversation.stored
        return invalid_request(str(NoRollout(self.thread_id))) if unstored else None

    async def check(self, services: Services) -> None:
        """The file has to be there and its place free; another process may be writing to it."""
        await _moved("archive", self.thread_id, check_archive, services.home, self.thread_id)

    async def carry_out(self, services: Services, relocate: Callable[[Delete], None]) -> None:
        """Move the file."""
        await _moved("archive", self.thread_id, archive, services.home, self.thread_id)
        self.reply.resolve(None)
        services.audience.announce(ThreadArchivedNotification(self.thread_id))


@frozen
class Unarchive(Relocation):
    """Move an archived rollout back; the thread is not loaded. Answers with (ThreadSummary, Placements)."""

    def refusal(self, thread: OpenedThread, home: Home) -> Exception | None:
        """What is loaded is not in the archive."""
        return invalid_request(str(NoArchivedRollout(self.thread_id)))

    async def carry_out(self, services: Services, relocate: Callable[[Delete], None]) -> None:
        """Move the file."""

        def work() -> ThreadSummary:
            return read_summary(unarchive(services.home, self.thread_id))

        summary = await _moved("unarchive", self.thread_id, work)
        where = await services.state.read_or(lambda db: placements(db, self.thread_id), Placements())
        self.reply.resolve((summary, where))
        services.audience.announce(ThreadUnarchivedNotification(self.thread_id))


@frozen
class Delete(Relocation):
    """Close the thread and those spawned from it, then delete their files. Answers with None.

    `announced` is False for a spawned thread: the deletion of its ancestor announces it.
    """

    EPHEMERAL: ClassVar[str] = "thread is not persisted and cannot be deleted"

    announced: bool = field(default=True, kw_only=True)

    def refusal(self, thread: OpenedThread, home: Home) -> Exception | None:
        """An ephemeral thread ends with its last subscriber, and a file outside the home is not ours to delete."""
        path = thread.conversation.path
        if path is None:
            return invalid_request(f"{self.EPHEMERAL}: {self.thread_id}")
        if not path.is_relative_to(home.path):
            return invalid_request(f"thread {self.thread_id} is not in the home and cannot be deleted: {path}")
        return None

    async def check(self, services: Services) -> None:
        """Nothing may refer to it, and no other process be writing to it or to a thread spawned from it."""
        if self.announced:  # who deletes its ancestor has looked
            await self._look(services.home)

    async def carry_out(self, services: Services, relocate: Callable[[Delete], None]) -> None:
        """Delete the descendants, deepest first, then the thread's own files, then what is kept about them."""
        home, id = services.home, self.thread_id
        gone: Sequence[str] = ()
        if self.announced:
            gone = await self._look(home)
            for child in gone:
                await answer(lambda reply, child=child: relocate(Delete(child, reply, announced=False)))  # type: ignore[misc]
        await _moved("delete", id, lambda: remove(home, id, missing_ok=self.was_loaded))
        await self._forget(services)
        self.reply.resolve(None)
        if self.announced:
            for each in (*gone, id):
                services.audience.announce(ThreadDeletedNotification(each))

    async def _look(self, home: Home) -> Sequence[str]:
        """The descendants. Raises RpcError if they and the thread may not be deleted."""

        def work() -> Lineage:
            found = lineage(home, self.thread_id)
            for each in (*found.descendants, self.thread_id):
                check_free(home.lock_file(each))
            return found

        found: Lineage = await _moved("delete", self.thread_id, work)
        if found.dependants:
            raise invalid_request(f"cannot delete thread {self.thread_id}: forked history still references it")
        return found.descendants

    async def _forget(self, services: Services) -> None:
        from spindle.storage.state.database import forget_threads

        try:
            if await services.state.read(lambda _: True, False):
                await services.state.change(lambda db: forget_threads(db, [self.thread_id]))
        except StateUnavailable as error:
            log.warning("what is kept about the deleted thread %s stays: %s", self.thread_id, error)


async def _moved(verb: str, thread_id: str, work: Callable[..., Any], *args: Any) -> Any:
    try:
        return await trio.to_thread.run_sync(lambda: work(*args))
    except (NoRollout, NoArchivedRollout) as error:
        raise ThreadNotFound(str(error)) from error
    except StoredThreadError as error:
        raise invalid_request(str(error)) from error
    except WriterBusy as error:
        raise invalid_request(f"thread {thread_id} already has an active writer: {error.holder}") from error
    except OSError as error:
        raise internal_error(f"failed to {verb} thread {thread_id}: {error}") from error
