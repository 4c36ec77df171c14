"""The process at the other end of a connection. The kernel says which; nothing here comes from the peer."""

import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from spindle.rpc.lazy_class import frozen

Address: TypeAlias = tuple[str, int]
"""IP address and port."""

_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred of unix(7): process, user, group


@frozen
class Peer:
    """The other end of an accepted connection.

    `addresses` are the two addresses of a TCP connection, the peer's first. `pid` is the process that connected to a
    Unix socket: 0 if it is not visible from this process's namespace, None if the system does not say.
    """

    addresses: tuple[Address, Address] | None = None
    pid: int | None = None


Refuse: TypeAlias = Callable[[Peer], Awaitable[str | None]]
"""The reason to refuse a peer, in bounded time; None to serve it."""


def peer_of(connection: socket.socket | trio.socket.SocketType) -> Peer:
    """The peer of an accepted TCP or Unix connection. Raises OSError if the connection has ended."""
    if connection.family != socket.AF_UNIX:
        theirs, ours = connection.getpeername(), connection.getsockname()
        return Peer(addresses=((theirs[0], theirs[1]), (ours[0], ours[1])))
    if not sys.platform.startswith("linux"):
        return Peer()
    pid, _, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid=pid)
