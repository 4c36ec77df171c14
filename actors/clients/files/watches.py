"""The watches of one client. They end with its connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from spindle.actors.clients.files.operations import answered
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.files import FsChangedNotification, FsUnwatchResponse, FsWatchResponse
from spindle.rpc.protocol.values import clean
from spindle.storage.watching import Watched

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

MOST = 1_000
"""The most watches of one client."""


class ClientWatches:
    """The watches by the ids that the client has given them."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._watches = caller.backend.services.watches
        self._watched: dict[str, Watched] = {}
        caller.start("the watches of a client", self._last)

    def begin(self, id: str, path: str) -> Watched:
        """Take the id. Raises RpcError."""
        if id in self._watched:
            raise invalid_request(f"watchId already exists: {id}")
        if len(self._watched) >= MOST:
            raise invalid_request(f"too many watches: limit is {MOST}")
        watched = self._watched[id] = Watched(path)
        return watched

    async def watch(self, id: str, watched: Watched) -> FsWatchResponse:
        """Watch what `begin` has returned. Raises RpcError."""
        try:
            with answered():
                await self._watches.add(watched, lambda paths: self._notify(id, watched, paths))
        except BaseException:
            self._end(id, watched)
            raise
        return FsWatchResponse(clean(watched.path))

    def end(self, id: str) -> FsUnwatchResponse:
        """End a watch, if there is one."""
        if (watched := self._watched.get(id)) is not None:
            self._end(id, watched)
        return FsUnwatchResponse()

    def _notify(self, id: str, watched: Watched, paths: Sequence[str]) -> None:
        if self._watched.get(id) is watched:
            self._caller.notify(FsChangedNotification(id, [clean(path) for path in paths]))

    def _end(self, id: str, watched: Watched) -> None:
        if self._watched.get(id) is watched:
            del self._watched[id]
        self._watches.drop(watched)

    async def _last(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for watched in self._watched.values():
                self._watches.drop(watched)
            self._watched.clear()
