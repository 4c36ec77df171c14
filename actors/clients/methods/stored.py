"""What has to be so of a thread, loaded or not, before something is kept about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.storage.threads.locate import locate, locate_archived

if TYPE_CHECKING:
    from spindle.actors.runtime import Runtime


async def known(
    runtime: Runtime, id: str, *, missing: str, ephemeral: str, unwritten: str | None = None, archived: bool = True
) -> None:
    """Return if the thread is loaded or stored.

    Raises RpcError: `missing` where there is no such thread (nor, unless `archived`, a thread in the archive),
    `ephemeral` for an ephemeral one, `unwritten`, if given, for one of which nothing is on disk yet.
    """
    thread = await runtime.registry.look(id)
    if thread is not None:
        if thread.ephemeral:
            raise invalid_request(ephemeral)
        if unwritten is not None and not thread.conversation.stored:
            raise invalid_request(unwritten)
        return
    home = runtime.services.home

    def work() -> bool:
        return locate(home, id) is not None or (archived and locate_archived(home, id) is not None)

    try:
        found = await trio.to_thread.run_sync(work)
    except OSError as error:
        raise internal_error(f"failed to look for thread {id}: {error}") from error
    if not found and not runtime.registry.directory.is_known(id):
        raise invalid_request(missing)
