"""The pass that compresses old rollouts. It never touches a loaded thread: the registry keeps each id occupied meanwhile."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from spindle.actors.kernel.mailbox import ActorExited, Reply, answer
from spindle.actors.registry.messages import LoadedOrStored, Look, Occupying
from spindle.actors.tasks.boundary import start_apart
from spindle.rpc.protocol.errors import RpcError
from spindle.storage.threads.compressing import compress, compressible

if TYPE_CHECKING:
    from spindle.actors.registry.registry import Registry
    from spindle.actors.services.services import Services
    from spindle.actors.thread.state import OpenedThread

log = logging.getLogger("spindle")


class Compression:
    """At most one pass at a time."""

    def __init__(self, services: Services, registry: Registry) -> None:
        self._services, self._registry = services, registry
        self.over = trio.Event()
        """Set while no pass is running."""
        self.over.set()

    def begin(self) -> None:
        """Start a pass, unless one is running. It ends with the runtime."""
        background = self._services.background
        if background is not None and self.over.is_set():
            self.over = trio.Event()
            start_apart(background, "the compression of old rollouts", self._run)

    async def _run(self) -> None:
        home = self._services.home
        done = 0
        try:
            for thread_id, path in await trio.to_thread.run_sync(lambda: list(compressible(home))):
                try:
                    done += await self._compress(thread_id, path)
                except OSError as error:  # the others can be compressed nevertheless
                    log.warning("%s is not compressed: %s", path, error)
        except (RpcError, ActorExited):
            log.debug("the compression of old rollouts stops: the runtime ends")
        finally:
            self.over.set()
            log.info("%d rollouts were compressed", done)

    async def _compress(self, thread_id: str, path: Path) -> bool:
        home, registry = self._services.home, self._registry
        compressed = False

        def check() -> None:
            trio.from_thread.check_cancelled()
            if registry.closing:  # it would wait for this
                raise ActorExited

        def ask(reply: Reply[OpenedThread | None]) -> None:
            async def work() -> None:
                nonlocal compressed
                compressed = await trio.to_thread.run_sync(compress, home, thread_id, path, check)
                reply.resolve(None)

            registry.route(LoadedOrStored(thread_id, Look(reply=reply), Occupying(work)))

        await answer(ask)
        return compressed
