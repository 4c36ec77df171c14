"""The process at the other end of a connection. The kernel says which; nothing here comes from the peer."""

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
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
    Unix socket: 0 if it is not visible from this process's namespace, None if the system does not say. `uid` is its user.
    """

    addresses: tuple[Address, Address] | None = None
    pid: int | None = None
    uid: int | None = None


Refuse: TypeAlias = Callable[[Peer], Awaitable[str | None]]
"""The reason to refuse a peer, in bounded time; None to serve it."""


def peer_of(connection: socket.socket | trio.socket.SocketType) -> Peer:
    """The peer of an accepted TCP or Unix connection. Raises OSError if the connection has ended."""
    if connection.family != socket.AF_UNIX:
        theirs, ours = connection.getpeername(), connection.getsockname()
        return Peer(addresses=((theirs[0], theirs[1]), (ours[0], ours[1])))
    if not sys.platform.startswith("linux"):
        return Peer()
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid=pid, uid=uid)


def of_same_user(peer: Peer) -> bool:
    """Whether a peer at a Unix socket has this process's user. Where the system does not say, the socket's folder decides."""
    return peer.uid is None or peer.uid == os.geteuid()


_OF_STATUS: Final = {
    "Uid": "user",
    "Gid": "group",
    "Groups": "groups",
    "CapEff": "capabilities",
    "CapBnd": "bounding capabilities",
    "NoNewPrivs": "no_new_privs",
    "Seccomp": "seccomp mode",
    "Seccomp_filters": "seccomp filters",
}


def standing(pid: int) -> Mapping[str, str] | None:
    """What decides which files, processes and calls are a process's to use, by name: user, capabilities, filters, namespaces.

    Two processes with an equal standing may do the same, as far as the kernel shows it (proc(5); Landlock shows only in
    `no_new_privs`). None without /proc. Raises OSError for a process that has ended, or that may not be looked at. Blocks.
    """
    if not sys.platform.startswith("linux") or not os.path.exists("/proc/self/ns"):
        return None
    where = f"/proc/{pid}"
    with open(f"{where}/status", encoding="utf-8", errors="replace") as file:
        lines = [line.partition(":") for line in file]
    found = {_OF_STATUS[name]: " ".join(value.split()) for name, _, value in lines if name in _OF_STATUS}
    found |= {f"{name} namespace": os.readlink(f"{where}/ns/{name}") for name in os.listdir(f"{where}/ns")}
    found["root directory"] = os.readlink(f"{where}/root")
    with contextlib.suppress(OSError), open(f"{where}/attr/current", encoding="utf-8", errors="replace") as file:
        found["security label"] = file.read().strip("\0\n")
    return found
