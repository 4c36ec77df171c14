"""The daemon: a runtime served on stdio, a WebSocket or a Unix socket, and how it ends.

On stdio the client is the owner: end of input, SIGTERM and SIGINT end the daemon at once, running turns being interrupted
and recorded. On a socket the first signal lets running turns finish, the second does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import signal
import sys
from collections.abc import Sequence

import trio

from spindle.actors.boundary import start_apart
from spindle.actors.connection import Connection
from spindle.actors.runtime import Runtime
from spindle.rpc.transports import Transport

log = logging.getLogger("spindle")


async def serve_stdio(runtime: Runtime) -> None:
    """Serve one client on standard input and output until it closes its end or a signal arrives."""
    from spindle.rpc.transports.lines import open_stdio

    transport = open_stdio()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, nursery.cancel_scope)
            start_apart(nursery, "giving memory back", tidy, runtime)
            await Connection(runtime, transport).run()
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            await transport.aclose()


async def serve_listener(runtime: Runtime, url: str) -> None:
    """Serve any number of clients on `ws://IP:PORT` or `unix://PATH` until signalled.

    Prints where it listens to stderr. Raises ValueError for an address it cannot serve, OSError if it is taken.
    """
    from spindle.rpc.transports.listen import open_listeners, parse_listen, serve_websocket

    target = parse_listen(url)
    async with open_listeners(target) as listeners, trio.open_nursery() as nursery:

        async def handle(transport: Transport) -> None:
            await Connection(runtime, transport).run()

        await nursery.start(serve_websocket, listeners, handle)
        start_apart(nursery, "giving memory back", tidy, runtime)
        _banner(target.kind, listeners, url)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            await anext(signals)
            log.info("waiting for running turns; a second signal ends them")
            async with trio.open_nursery() as waiting:
                waiting.start_soon(_until_idle, runtime, waiting.cancel_scope)
                await anext(signals)
                waiting.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def tidy(runtime: Runtime) -> None:
    """Whenever the last thread has gone, give its memory back to the system; cheap then, as little else is alive."""
    await runtime.in_use.wait()
    while True:
        await runtime.registry.emptied()
        gc.collect()
        _trim()


def _trim() -> None:
    with contextlib.suppress(OSError, AttributeError):  # not every C library keeps what is freed, or says how to let go
        ctypes.CDLL(None).malloc_trim(0)


async def _until_idle(runtime: Runtime, scope: trio.CancelScope) -> None:
    await runtime.registry.idle()
    scope.cancel()


async def _end_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        await anext(signals)
        scope.cancel()


def _banner(kind: str, listeners: Sequence[trio.SocketListener], url: str) -> None:
    if kind != "websocket":
        print(f"listening on: {url}", file=sys.stderr, flush=True)
        return
    host, port = listeners[0].socket.getsockname()[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    print(
        f"listening on: ws://{where}\n  readyz: http://{where}/readyz\n  healthz: http://{where}/healthz",
        file=sys.stderr,
        flush=True,
    )
