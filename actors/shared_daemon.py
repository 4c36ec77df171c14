"""The shared daemon of a home: serves relays (`spindle app-server --shared`), and ends some time after its last client.

A relay (`src/spindle/relay.py`) starts it in the home, with the lock and the socket of the home's shared folder. It serves the
clients for which a daemon of their own would do the same. The hello (`rpc/relay/`) and what the kernel says of the relay's
process show whether that is so.
"""

from __future__ import annotations

import logging
import os
import socket
from functools import partial

import trio

from spindle.actors.clients.connection import Connection
from spindle.actors.daemon import log_failure, open_target, refuse_commands, serve_clients, sockets
from spindle.actors.registry.backend import Backend
from spindle.actors.signals import EndSignals
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import clean
from spindle.rpc.relay.opening import answer_hello, receive_hello
from spindle.rpc.relay.verdict import Hello, UnreadableHello, refusal
from spindle.rpc.transports.accepting import Refusal, accept_clients
from spindle.rpc.transports.lines import LineTransport
from spindle.rpc.transports.peers import Peer, standing
from spindle.storage import shared_folder

log = logging.getLogger("spindle")

FIRST_CLIENT = 30.0
"""Seconds that a new daemon waits at least: for the relay that has started it, which waits as long."""


@frozen
class Relayed:
    """The client behind a relay, and its working directory."""

    transport: LineTransport
    cwd: str


class SharedDaemon:
    """Which relays are served, and whether any is."""

    def __init__(self, backend: Backend, ours: Hello, kept: bool = False) -> None:
        """kept: it stays when it has no client."""
        self._backend, self._ours, self._kept = backend, ours, kept
        self._refuse_commands = refuse_commands(backend)
        self._clients = 0
        self._changed = trio.Event()
        self._least = FIRST_CLIENT
        self._ended = False

    async def refuse(self, peer: Peer) -> str | None:
        """The reason to refuse a relay's process, by what the kernel says of it."""
        if (reason := await self._refuse_commands(peer)) is not None:
            return reason
        return await trio.to_thread.run_sync(_stands_otherwise, peer.pid, abandon_on_cancel=True)

    async def open(self, stream: trio.SocketStream, refused: Refusal | None) -> Relayed | None:
        """Read a relay's hello and answer it."""
        reason = None if refused is None else refused.reason
        hello = None
        try:
            if (hello := await receive_hello(stream)) is None:
                return None
        except UnreadableHello as error:
            reason = reason or str(error)
        if self._ended or self._backend.ending:
            return None  # the relay starts another daemon when this one has ended
        if hello is not None and reason is None:
            if (reason := refusal(self._ours, hello)) is None:
                return await self._accept(stream, hello.cwd)
        if refused is None and not self._in_use:
            log.info("ending for a client that needs another daemon: %s", reason)
            self._end()
            await answer_hello(stream, ending=True)
        else:
            log.warning("refused a client: %s", reason)
            await answer_hello(stream, refused=reason)
        return None

    async def _accept(self, stream: trio.SocketStream, cwd: str) -> Relayed | None:
        self._count(1)  # before anything is awaited: the daemon must not end now
        self._least = 0.0
        written = False
        try:
            written = await answer_hello(stream, accepted=True)
        finally:
            if not written:
                self._count(-1)
        return Relayed(LineTransport(stream, stream, kind="relay"), cwd) if written else None

    async def serve(self, client: Relayed) -> None:
        """Serve an accepted client until its connection ends."""
        try:
            await Connection(self._backend, client.transport, client.cwd).run(log_failure)
        finally:
            self._count(-1)

    async def unused(self) -> None:
        """Return when there has been no client for the configured time, and no turn runs. No relay is accepted after that."""
        if self._kept:
            await trio.sleep_forever()
        while not self._ended:
            changed = self._changed
            if self._clients:
                await changed.wait()
                continue
            config = await trio.to_thread.run_sync(self._backend.config)
            with trio.move_on_after(max(config.shared_daemon_idle_secs, self._least)) as waiting:
                await changed.wait()
            if not waiting.cancelled_caught:
                continue
            if self._backend.busy:
                await self._backend.registry.idle()
            elif not self._clients:
                self._end()

    @property
    def _in_use(self) -> bool:
        waits = self._least > 0  # for the relay that has started it
        return self._kept or waits or self._clients > 0 or self._backend.busy

    def _end(self) -> None:
        self._ended = True
        self._count(0)

    def _count(self, change: int) -> None:
        self._clients += change
        self._changed.set()
        self._changed = trio.Event()


async def serve_relays(
    backend: Backend, signals: EndSignals, ours: Hello, lock: int, listener: int, *, kept: bool = False
) -> None:
    """Serve relays until signalled, or until the daemon is unused. Takes over the descriptors. Raises OSError.

    kept: the daemon also has the home's control socket, and ends only by a signal.
    """
    for descriptor in (lock, listener):
        os.set_inheritable(descriptor, False)
    shared_folder.sign(lock, kept)
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(socket.socket(fileno=listener)))]
    daemon = SharedDaemon(backend, ours, kept)
    relays = partial(accept_clients, listeners, daemon.open, daemon.serve, refuse=daemon.refuse)
    try:
        if kept:
            from spindle.rpc.transports.listen import ListenTarget

            async with open_target(backend, ListenTarget("unix")) as (control, where):
                log.info("%s", where)
                await serve_clients(backend, "shared", signals, [relays, sockets(backend, control)], _ready)
        else:
            await serve_clients(backend, "shared", signals, [relays], _ready, daemon.unused)
    finally:
        shared_folder.leave(shared_folder.shared_folder(str(backend.home.path)))
    log.info("the shared daemon has ended")


def _ready() -> None:
    log.info("the shared daemon is ready")


def _stands_otherwise(pid: int | None) -> str | None:
    """Why a process is refused that the kernel treats otherwise than this one. Blocks."""
    ours = standing(os.getpid())
    if ours is None or pid is None:
        return None  # the folder's mode is what keeps others out
    try:
        theirs = standing(pid)
    except OSError as error:
        return f"its process cannot be looked at: {clean(str(error))}"
    names = sorted(name for name, value in ours.items() if theirs is None or theirs.get(name) != value)
    return f"its process differs in {', '.join(names)}" if names else None
