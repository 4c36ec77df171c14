"""Requests of one client that it can cancel by their ids: searches in messages, and samples."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.rpc.protocol.envelope import RequestId
    from spindle.rpc.protocol.errors import RpcError


class Cancellable:
    """Those that run, by method and request."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._running: dict[tuple[str, RequestId], trio.CancelScope] = {}

    def run(
        self, method: str, reply: Reply[Any], work: Callable[[], Awaitable[object]], cancelled: RpcError
    ) -> None:
        """Answer the request that is being handled with what `work` returns or raises, or with `cancelled` if it is."""
        key, scope = (method, self._caller.request_id), trio.CancelScope()

        async def run() -> object:
            try:
                with scope:
                    return await work()
                raise cancelled
            finally:
                if self._running.get(key) is scope:
                    del self._running[key]

        self._running[key] = scope
        self._caller.later(reply, run)

    def cancel(self, method: str, id: RequestId) -> None:
        """Cancel a request, if it runs."""
        if (scope := self._running.get((method, id))) is not None:
            scope.cancel()
