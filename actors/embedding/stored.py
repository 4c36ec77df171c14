"""Threads by their ids, loaded or not: how they are named, archived and deleted. No subscription is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from spindle.actors.clients.identity import thread_id
from spindle.actors.delivery.description import describe_stored
from spindle.actors.embedding.checking import check_text
from spindle.actors.kernel.mailbox import Reply, answer
from spindle.actors.registry.changing import rename
from spindle.actors.registry.relocation import Archive, Delete, Unarchive
from spindle.rpc.protocol.errors import RpcError, ThreadNotFound
from spindle.rpc.protocol.threads import Thread

if TYPE_CHECKING:
    from spindle.actors.registry.backend import Backend
    from spindle.storage.state.sections import Placements
    from spindle.storage.threads.summary import ThreadSummary

T = TypeVar("T")


def known_form(id: str) -> str:
    """The id in its usual form. Raises ThreadNotFound for a text that cannot be the id of a thread, else InvalidOption."""
    check_text("thread_id", id)
    try:
        return thread_id(id)
    except RpcError as error:
        raise ThreadNotFound(str(error)) from None


async def rename_thread(backend: Backend, id: str, name: str) -> None:
    """See `Runtime.rename_thread`."""
    id = known_form(id)
    check_text("name", name)

    def send(reply: Reply[None]) -> None:
        rename(backend, id, name, reply)

    await answer(send)


async def archive_thread(backend: Backend, id: str) -> None:
    """See `Runtime.archive_thread`."""
    await _relocated(backend, id, Archive)


async def unarchive_thread(backend: Backend, id: str) -> Thread:
    """See `Runtime.unarchive_thread`."""
    found: tuple[ThreadSummary, Placements] = await _relocated(backend, id, Unarchive)
    summary, where = found
    return where.show(describe_stored(summary))


async def delete_thread(backend: Backend, id: str) -> None:
    """See `Runtime.delete_thread`."""
    await _relocated(backend, id, Delete)


async def _relocated(backend: Backend, id: str, relocation: Callable[[str, Reply[T]], Archive | Unarchive | Delete]) -> T:
    id = known_form(id)
    return await answer(lambda reply: backend.registry.route(relocation(id, reply)))
