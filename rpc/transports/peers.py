"""Which process is at the other end of a connection, as far as the socket itself says: nothing here is the peer's word."""

import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio
from attrs import frozen

Address: TypeAlias = tuple[str, int]
"""IP address and port."""

_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred of unix(7): process, user, group


@frozen
class Peer:
    """The other end of an accepted connection.

    `addresses` are those of a TCP connection, the peer's first. `pid` is the process that connected to a Unix socket: 0 if
    it is not visible from here, None where the system does not say.
    """

    addresses: tuple[Address, Address] | None = None
    pid: int | None = None


Refuse: TypeAlias = Callable[[Peer], Awaitable[str | None]]
"""Why a peer is not served, in bounded time; None if it is."""


def peer_of(connection: socket.socket | trio.socket.SocketType) -> Peer:
    """The peer of an accepted TCP or Unix connection. Raises OSError if it is gone already."""
    if connection.family != socket.AF_UNIX:
        theirs, ours = connection.getpeername(), connection.getsockname()
        return Peer(addresses=((theirs[0], theirs[1]), (ours[0], ours[1])))
    if not sys.platform.startswith("linux"):
        return Peer()
    pid, _, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid=pid)
