"""A thread, loaded or stored: the question is asked here, of the registry first and then of the files.

What a loaded thread answers itself is a `LoadedOrStored` message; `read_stored` is its other answer. What needs to know no
more than that the thread exists asks `known`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import trio

from spindle.actors.delivery.description import describe_stored
from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.storage.state.sections import Placements, placements
from spindle.storage.threads.locate import locate, locate_archived
from spindle.storage.threads.summary import read_summary
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    from spindle.actors.registry.backend import Backend
    from spindle.rpc.protocol.threads import Thread

T = TypeVar("T")


async def read_stored(backend: Backend, id: str, read: Callable[[Path], T]) -> T:
    """What `read` finds in the rollout of a thread that is not loaded, archived ones too; it runs in a worker thread.

    Raises RpcError if there is no such thread, and for what `read` raises (StoredThreadError, OSError).
    """
    indexing = backend.services.indexing

    def work() -> T:
        path = indexing.locate(id) or indexing.locate_archived(id)
        if path is None:
            raise invalid_request(f"thread not loaded: {id}")
        return read(path)

    try:
        return await trio.to_thread.run_sync(work)
    except (StoredThreadError, OSError) as error:
        raise RpcError(INTERNAL_ERROR, f"failed to read thread {id}: {error}") from error


async def show_stored(backend: Backend, id: str) -> Thread:
    """A thread that is not loaded as clients see it. Raises RpcError."""
    thread = await read_stored(backend, id, lambda path: describe_stored(read_summary(path)))
    where = await backend.services.state.read_or(lambda db: placements(db, id), Placements())
    return where.show(thread)


async def rollout_of(backend: Backend, id: str, *, ephemeral: str) -> Path | None:
    """The rollout of a thread, loaded or stored, archived ones too; None if there is no such thread.

    Raises RpcError with `ephemeral` for an ephemeral thread, OSError.
    """
    state = await backend.registry.look(id)
    if state is not None:
        if state.conversation.path is None:
            raise invalid_request(ephemeral)
        return state.conversation.path
    home = backend.services.home
    return await trio.to_thread.run_sync(lambda: locate(home, id) or locate_archived(home, id))


async def known(
    backend: Backend, id: str, *, missing: str, ephemeral: str, unwritten: str | None = None, archived: bool = True
) -> None:
    """Return if the thread is loaded or stored.

    Raises RpcError: `missing` if there is no such thread (one in the archive counts if `archived`), `ephemeral` for an
    ephemeral thread, and `unwritten`, if given, for a thread that has nothing on disk yet.
    """
    thread = await backend.registry.look(id)
    if thread is not None:
        if thread.ephemeral:
            raise invalid_request(ephemeral)
        if unwritten is not None and not thread.conversation.stored:
            raise invalid_request(unwritten)
        return
    home = backend.services.home

    def work() -> bool:
        return locate(home, id) is not None or (archived and locate_archived(home, id) is not None)

    try:
        found = await trio.to_thread.run_sync(work)
    except OSError as error:
        raise internal_error(f"failed to look for thread {id}: {error}") from error
    if not found and not backend.registry.directory.is_known(id):
        raise invalid_request(missing)


async def check_kept(backend: Backend, id: str) -> None:
    """Return if the thread has a rollout, archived or not. Raises RpcError, of -32602, for a thread without one."""
    text = f"thread not found: {id}"
    try:
        await known(backend, id, missing=text, ephemeral=text, unwritten=text)
    except RpcError as error:
        code = error.code if error.code == INTERNAL_ERROR else INVALID_PARAMS
        raise RpcError(code, error.message) from error
