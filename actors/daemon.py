"""The daemon: a runtime served on stdio, a WebSocket or a Unix socket, and how it ends.

SIGTERM, SIGINT and SIGHUP mean the same. On stdio the client is the owner: end of input and the first signal end the daemon
at once, running turns being interrupted and recorded. On a socket the first signal begins the end: no connection is accepted
and no work begun any more, and running turns may finish, for `DRAIN` seconds at most; the second does not wait for them.
However many come, running turns are recorded and the exit code is 0.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from spindle.actors.clients.connection import Connection
from spindle.actors.first_answer import FirstAnswer
from spindle.actors.kernel.actor import Exited
from spindle.actors.registry.ahead import import_ahead
from spindle.actors.registry.backend import Backend
from spindle.actors.signals import EndSignals
from spindle.actors.tasks.boundary import start_apart
from spindle.rpc.transports import Transport
from spindle.rpc.transports.peers import Peer, Refuse
from spindle.storage.durable import private_folder

if TYPE_CHECKING:
    from spindle.rpc.inspection import RuntimeKind
    from spindle.rpc.transports.admission import Admission
    from spindle.rpc.transports.listen import ListenTarget

log = logging.getLogger("spindle")

DRAIN = 60.0
"""Seconds that running turns may take to finish after the first signal; then they are interrupted. Less than service
managers wait (systemd: 90) before they kill a process."""

UNGREETED = 2.0
"""Seconds that a daemon on a socket waits for a client, before it answers `spindle top`."""

LOOKING = 4
"""Worker threads that find out at a time which processes want to be clients; while no command has run, none is needed."""


async def serve_stdio(backend: Backend, signals: EndSignals, first: FirstAnswer) -> None:
    """Serve one client on standard input and output until it closes its end or a signal arrives.

    `first` has what was read and written before.
    """
    from spindle.rpc.transports.lines import open_stdio

    transport = open_stdio(first.received, first.sent)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, signals, nursery.cancel_scope)
            start_apart(nursery, "giving memory back", tidy, backend)
            start_apart(nursery, "answering `spindle top`", be_inspected, backend, "stdio")
            await Connection(backend, transport).run(log_failure)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            await transport.aclose()


async def serve_listener(
    backend: Backend, target: ListenTarget, signals: EndSignals, admission: Admission | None = None
) -> None:
    """Serve any number of clients on a WebSocket or a Unix socket until signalled.

    admission: the authorization of WebSockets on TCP. Prints where it listens to stderr. Raises ValueError for a target
    without a socket, OSError if the address is taken.
    """
    kind: RuntimeKind = "unix" if target.kind == "unix" else "websocket"
    async with open_target(backend, target) as (listeners, where):
        serve = sockets(backend, listeners, admission)
        await serve_clients(backend, kind, signals, [serve], lambda: print(where, file=sys.stderr, flush=True))


@asynccontextmanager
async def open_target(
    backend: Backend, target: ListenTarget
) -> AsyncGenerator[tuple[Sequence[trio.SocketListener], str], None]:
    """Listen on a target inside the block; with the text that says where. A Unix target without a path is the home's control
    socket. Raises OSError, ValueError.
    """
    from spindle.rpc.transports.listen import open_listeners

    if target.kind == "unix" and target.path is None:
        target = evolve(target, path=backend.home.control_socket)
        await trio.to_thread.run_sync(private_folder, backend.home.control_socket.parent)
    async with open_listeners(target) as listeners:
        yield listeners, _banner(target, listeners)


def sockets(
    backend: Backend, listeners: Sequence[trio.SocketListener], admission: Admission | None = None
) -> Callable[..., Awaitable[None]]:
    """Serves clients with WebSockets on listeners; it starts as `accepting.accept_clients` does."""
    from spindle.rpc.transports.listen import serve_websocket

    async def handle(transport: Transport) -> None:
        await Connection(backend, transport).run(log_failure)

    return partial(serve_websocket, listeners, handle, admission=admission, refuse=refuse_commands(backend))


def refuse_commands(backend: Backend) -> Refuse:
    """Refuses the commands that the runtime runs: they cannot be its clients."""
    looking = trio.CapacityLimiter(LOOKING)

    async def refuse(peer: Peer) -> str | None:
        if (warden := backend.warden) is None:
            return None
        from spindle.actors.tools.commands.peers import refusal

        return await refusal(warden, peer, looking)

    return refuse


async def be_inspected(
    backend: Backend, kind: RuntimeKind, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer `spindle top` from when the first client has what it needs next; on a socket, there may be no client."""
    with trio.move_on_after(math.inf if kind == "stdio" else UNGREETED):
        await backend.greeted.wait()
    await import_ahead(("spindle.actors.inspection",))
    from spindle.actors.inspection import serve_inspection

    await serve_inspection(backend, kind, refuse_commands(backend), task_status)


async def serve_clients(
    backend: Backend,
    kind: RuntimeKind,
    signals: EndSignals,
    serves: Sequence[Callable[..., Awaitable[None]]],
    ready: Callable[[], None],
    unused: Callable[[], Awaitable[None]] = trio.sleep_forever,
) -> None:
    """Serve connections until signalled, or until `unused` returns; then there is no client and no turn to wait for.

    Each of `serves` starts as `accepting.accept_clients` does; `ready` is called when connections are accepted.
    """
    async with trio.open_nursery() as nursery:
        accepting: list[trio.CancelScope] = [await nursery.start(serve) for serve in serves]
        start_apart(nursery, "giving memory back", tidy, backend)
        start_apart(nursery, "answering `spindle top`", be_inspected, backend, kind)
        ready()
        if await _signalled(signals, unused):
            for scope in accepting:
                scope.cancel()
            await _drain(backend, signals)
        nursery.cancel_scope.cancel()


async def _signalled(signals: EndSignals, unused: Callable[[], Awaitable[None]]) -> bool:
    """Wait for the first signal, or for `unused`; returns whether it was a signal."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_on_signal, signals, nursery.cancel_scope)
        await unused()
        nursery.cancel_scope.cancel()
    return signals.count > 0


async def _drain(backend: Backend, signals: EndSignals) -> None:
    """Begin no work, and wait for running turns, for the second signal, or for `DRAIN` seconds."""
    log.info("waiting for running turns; a second signal ends them")
    backend.ending = True
    async with trio.open_nursery() as waiting:
        waiting.start_soon(_until_idle, backend, waiting.cancel_scope)
        with trio.move_on_after(DRAIN) as drain:
            await signals.wait(2)
        waiting.cancel_scope.cancel()
    if drain.cancelled_caught:
        log.warning("ending turns that still run after %.0f seconds", DRAIN)


async def tidy(backend: Backend) -> None:
    """Each time the last thread has ended, give its memory back to the system. Little else is in use then, so it is cheap."""
    await backend.in_use.wait()
    while True:
        await backend.registry.emptied()
        gc.collect()
        _trim()


def _trim() -> None:
    with suppress(OSError, AttributeError):  # not every C library has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


async def _until_idle(backend: Backend, scope: trio.CancelScope) -> None:
    if backend.in_use.is_set():
        await backend.registry.idle()
    scope.cancel()


async def _end_on_signal(signals: EndSignals, scope: trio.CancelScope) -> None:
    await signals.wait(1)
    scope.cancel()


def log_failure(exited: Exited) -> None:
    """Log the error of a connection that has failed."""
    if exited.error is not None:
        log.error("a connection failed", exc_info=exited.error)


def _banner(target: ListenTarget, listeners: Sequence[trio.SocketListener]) -> str:
    if target.kind == "unix":
        return f"listening on: unix://{target.path}"
    host, port = listeners[0].socket.getsockname()[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"listening on: ws://{where}\n  readyz: http://{where}/readyz\n  healthz: http://{where}/healthz"
