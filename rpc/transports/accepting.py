"""Accept connections within bounds, whatever is spoken on them."""

import errno
import logging
import resource
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

import trio

from spindle.rpc.lazy_class import frozen

from .peers import Refuse, peer_of

_log = logging.getLogger(__name__)

_LINGER_SECONDS: Final = 1.0
_REFUSALS: Final = 16  # refusals in flight; further connections wait in the system's queue
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_SECONDS: Final = 0.25

CONNECTIONS: Final = 512
"""The most connections, if the limit on descriptors is at least twice as high."""
HANDSHAKES: Final = 64
"""The most connections whose handshake is not finished."""

T = TypeVar("T")


@frozen
class Refusal:
    """Why a connection is not served: there is no room (`busy`), or the peer is not served at all."""

    reason: str
    busy: bool = False


def most_connections() -> int:
    """The most connections at a time: half of the descriptors are left for the clients' requests."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if limit == resource.RLIM_INFINITY else min(CONNECTIONS, limit // 2)


async def accept_clients(
    listeners: Sequence[trio.SocketListener],
    opening: Callable[[trio.SocketStream, Refusal | None], Awaitable[T | None]],
    serve: Callable[[T], Awaitable[None]],
    *,
    refuse: Refuse | None = None,
    connections: int | None = None,
    handshakes: int = HANDSHAKES,
    task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled.

    `opening` does the handshake, in bounded time, and answers with the refusal if there is one. It returns what `serve` gets,
    or None if there is nothing to serve. The stream is closed when both have returned.

    The value of `task_status.started` is a scope. Cancelling it closes the listeners while connections go on; this function
    then returns after the last connection has ended. If `refuse` gives a reason, the peer is refused. With `connections` open
    connections (default `most_connections()`) or `handshakes` unfinished handshakes, the next one is refused as busy. While
    the system is out of descriptors or memory, new connections wait.
    """
    server = _Server(opening, serve, refuse, most_connections() if connections is None else connections, handshakes)
    async with trio.open_nursery() as serving, trio.open_nursery() as accepting:
        for listener in listeners:
            accepting.start_soon(server.accept, listener, serving)
        task_status.started(accepting.cancel_scope)


class _Server(Generic[T]):
    """Accepts connections within the bounds."""

    def __init__(
        self,
        opening: Callable[[trio.SocketStream, Refusal | None], Awaitable[T | None]],
        serve: Callable[[T], Awaitable[None]],
        refuse: Refuse | None,
        connections: int,
        handshakes: int,
    ) -> None:
        self._opening, self._serve_client, self._refuse_peer = opening, serve, refuse
        self._free = trio.Semaphore(connections)
        self._handshakes = trio.Semaphore(handshakes)
        self._refusals = trio.Semaphore(_REFUSALS)

    async def accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """Accept connections until cancelled."""
        async with listener:
            pausing = False
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in _NO_ROOM:
                        raise
                    if not pausing:
                        _log.error("connections have to wait: %s", error.strerror)
                    pausing = True
                    await trio.sleep(_NO_ROOM_SECONDS)
                    continue
                if pausing:
                    _log.info("connections are accepted again")
                pausing = False
                await self._begin(stream, nursery)

    async def _begin(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        for free, reason in ((self._free, "connections"), (self._handshakes, "connections that are being opened")):
            if free.value == 0:
                try:
                    await self._refusals.acquire()
                except BaseException:
                    stream.socket.close()
                    raise
                nursery.start_soon(self._refuse, stream, Refusal(f"too many {reason}", busy=True))
                return
        self._free.acquire_nowait()
        self._handshakes.acquire_nowait()
        nursery.start_soon(self._serve, stream)

    async def _refuse(self, stream: trio.SocketStream, refusal: Refusal) -> None:
        try:
            async with stream:
                with _apart(), trio.move_on_after(_LINGER_SECONDS):
                    await self._opening(stream, refusal)
        finally:
            self._refusals.release()

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                client = None
                with _apart():
                    client = await self._open(stream)
                if client is not None:
                    await self._serve_client(client)
        finally:
            self._free.release()

    async def _open(self, stream: trio.SocketStream) -> T | None:
        try:
            refusal = None
            if self._refuse_peer is not None:
                try:
                    peer = peer_of(stream.socket)
                except OSError:
                    return None
                if reason := await self._refuse_peer(peer):
                    refusal = Refusal(reason)
            return await self._opening(stream, refusal)
        finally:
            self._handshakes.release()


@contextmanager
def _apart() -> Generator[None]:
    """The boundary around a peer's handshake: nothing that a peer sends ends more than its own connection."""
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    except Exception:
        _log.exception("a connection failed before it was opened")
