"""Changes of a thread, loaded or not. One that is not loaded is changed in its rollout; requests for it wait meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Ask, Reply
from spindle.actors.registry.messages import LoadedOrStored, Occupying
from spindle.actors.thread.messages import SetName
from spindle.rpc.protocol.errors import ThreadNotFound, internal_error, invalid_request
from spindle.rpc.protocol.threads import ThreadNameUpdatedNotification
from spindle.storage.rollout import records
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.writer_lock import WriterBusy
from spindle.storage.threads.codex_database import update_codex_database
from spindle.storage.threads.locate import locate
from spindle.storage.threads.metadata import append_to_stored
from spindle.storage.threads.names import record_name
from spindle.storage.threads.summary import read_summary
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    from spindle.actors.registry.backend import Backend


def change(
    backend: Backend, id: str, message: Ask[Any], work: Callable[[], Any], done: Callable[[], None] = lambda: None
) -> None:
    """Have a loaded thread do it; else do `work` to its rollout in a worker thread, answer, and then `done`."""

    async def on_stored() -> None:
        try:
            answer = await trio.to_thread.run_sync(work)
        except WriterBusy as error:
            raise invalid_request(f"thread {id} already has an active writer: {error.holder}") from error
        except StoredThreadError as error:
            raise invalid_request(str(error)) from error
        except (JournalError, OSError) as error:
            raise internal_error(f"the thread's history could not be saved: {error}") from error
        message.reply.resolve(answer)
        done()

    backend.registry.route(LoadedOrStored(id, message, Occupying(on_stored)))


def rename(backend: Backend, id: str, name: str, reply: Reply[None]) -> None:
    """Name a thread. The name is stripped. Raises RpcError if it is empty; the answer may be ThreadNotFound."""
    home, name = backend.services.home, name.strip()
    if not name:
        raise invalid_request("thread name must not be empty")

    def work() -> None:
        path = locate(home, id)
        if path is None:
            raise ThreadNotFound(f"thread not found: {id}")
        read_summary(path)  # refuses what is not a rollout
        append_to_stored(home, path, id, [records.thread_name_updated(id, name)])
        record_name(home, id, name)
        update_codex_database(home, id, {"name": name, "title": name})

    def announce() -> None:
        backend.audience.announce(ThreadNameUpdatedNotification(id, name))

    change(backend, id, SetName(reply=reply, name=name), work, announce)
