"""The searches of one client in the messages of threads: each can be cancelled by the id of its request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.errors import invalid_request

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.rpc.protocol.envelope import RequestId


class ThreadSearches:
    """The searches that run, by method and request."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._running: dict[tuple[str, RequestId], trio.CancelScope] = {}

    def run(self, method: str, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        """Answer the request that is being handled with what `work` returns or raises, unless it is cancelled."""
        key, scope = (method, self._caller.request_id), trio.CancelScope()

        async def search() -> object:
            try:
                with scope:
                    return await work()
                raise invalid_request("thread search cancelled")
            finally:
                if self._running.get(key) is scope:
                    del self._running[key]

        self._running[key] = scope
        self._caller.later(reply, search)

    def cancel(self, method: str, id: RequestId) -> None:
        """Cancel a search, if it runs."""
        if (scope := self._running.get((method, id))) is not None:
            scope.cancel()
