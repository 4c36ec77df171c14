"""Find out whether the peer of a connection is one of our own commands, from the kernel's tables.

A command that is a client of the server that runs it could leave every sandbox with one request. Without /proc (macOS) the
peer is unknown, and nothing is refused. docs/sandbox.md says what this covers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Final, TypeAlias

import trio

from spindle.actors.tools.commands.process import Warden
from spindle.rpc.lazy_class import frozen
from spindle.rpc.transports.peers import Address, Peer

PROC: Final = "/proc"
LONGEST: Final = 2.0
"""Deadline of the search for a process, in seconds; after that it counts as not found."""
_TRIES: Final = 10  # the tables change while they are read
FORWARDERS: Final = frozenset({"sshd", "sshd-session", "dropbear"})
"""Programs that connect on behalf of the user, with the user's id, and hide their descriptors from other processes."""

OWN: Final = "a command that this server runs cannot be its client"
UNKNOWN: Final = "the client's process was not found, and commands that this server runs cannot be its clients"

Lineage: TypeAlias = tuple[int, ...]
"""A process and its ancestors, nearest first."""


async def refusal(warden: Warden, peer: Peer, limiter: trio.CapacityLimiter) -> str | None:
    """Why `peer` is refused: it is a command of `warden`, or may be one. None if it is served."""
    if not warden.commanded:
        return None
    found = await trio.to_thread.run_sync(candidates, peer, limiter=limiter, abandon_on_cancel=True)
    if found is None:
        return None
    trees = warden.trees()  # read after the search, so new commands are included
    if any(trees.hold(lineage) for lineage in found):
        return OWN
    return None if found else UNKNOWN


def candidates(peer: Peer) -> list[Lineage] | None:
    """The processes that may be the peer; None if that cannot be known. Blocks, at most `LONGEST`.

    Usually one. For a TCP connection without a visible owner, all processes whose descriptors are hidden and that may own it.
    """
    if not os.path.exists(f"{PROC}/self/stat"):
        return None
    until = time.monotonic() + LONGEST
    try:
        if peer.addresses is not None:
            return _owners(*peer.addresses, until)
        if peer.pid is None:
            return None
        return _lineages([peer.pid], until)
    except TimeoutError:
        return []


def _lineages(pids: list[int], until: float) -> list[Lineage]:
    return [lineage for pid in pids if (lineage := _lineage(pid, until))]


def _lineage(pid: int, until: float) -> Lineage:
    """The lineage of a process; empty if it has ended."""
    for _ in range(_TRIES):
        lineage = [pid]
        while lineage[-1] > 1:
            _hurry(until)
            if (parent := _parent(lineage[-1])) is None:
                break  # it has ended, and its children have a new parent
            lineage.append(parent)
        else:
            return tuple(lineage)
        if len(lineage) == 1:
            break
    return ()


def _parent(pid: int) -> int | None:
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _hurry(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError


@frozen
class _Row:
    """A socket in the kernel's table; `inode` is 0 if no process has it open."""

    inode: int
    uid: int


def _owners(theirs: Address, ours: Address, until: float) -> list[Lineage]:
    row = _row(theirs, ours, until)
    if row is None or row.inode == 0:
        return []
    hidden: list[int] = []
    for pid in sorted(_processes(), reverse=True):  # the client is likely a new process
        _hurry(until)
        try:
            if _has(pid, f"socket:[{row.inode}]"):
                return _lineages([pid], until)
        except PermissionError:
            hidden.append(pid)
        except OSError:
            pass  # it has ended
    return _lineages([pid for pid in hidden if _may_own(pid, row.uid)], until)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _has(pid: int, link: str) -> bool:
    """Whether the process has the socket open. Raises PermissionError if that is hidden, other OSErrors if it has ended."""
    for fd in os.listdir(folder := f"{PROC}/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{folder}/{fd}") == link:
                return True
    return False


def _may_own(pid: int, uid: int) -> bool:
    """Whether a process with hidden descriptors may own a socket of user `uid` that has no visible owner."""
    members: dict[str, str] = {}
    with contextlib.suppress(OSError), open(f"{PROC}/{pid}/status", encoding="utf-8", errors="replace") as file:
        members = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    users = [int(word) for word in members.get("Uid", "").split()]
    return uid in users and (uid != os.geteuid() or members.get("Name") in FORWARDERS)


def _row(theirs: Address, ours: Address, until: float) -> _Row | None:
    for _ in range(_TRIES):
        for table, here, there in _tables(theirs, ours):
            wanted = [here, there]
            with contextlib.suppress(FileNotFoundError), open(f"{PROC}/net/{table}", "rb") as file:
                for line in file:
                    words = line.split()
                    if words[1:3] == wanted:
                        return _Row(inode=int(words[9]), uid=int(words[7]))
        _hurry(until)
    return None


def _tables(theirs: Address, ours: Address) -> Iterator[tuple[str, bytes, bytes]]:
    """The tables that may list a connection, with its addresses in their form."""
    if ":" in theirs[0]:
        yield "tcp6", _written(socket.AF_INET6, theirs), _written(socket.AF_INET6, ours)
        return
    yield "tcp", _written(socket.AF_INET, theirs), _written(socket.AF_INET, ours)
    mapped = [(f"::ffff:{host}", port) for host, port in (theirs, ours)]
    yield "tcp6", _written(socket.AF_INET6, mapped[0]), _written(socket.AF_INET6, mapped[1])


def _written(family: socket.AddressFamily, address: Address) -> bytes:
    """The form of /proc/net/tcp: words of 32 bits in the machine's byte order, and the port."""
    packed = socket.inet_pton(family, address[0].partition("%")[0])
    words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
    return b"%b:%04X" % (b"".join(b"%08X" % word for word in words), address[1])
