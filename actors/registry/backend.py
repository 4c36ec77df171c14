"""What clients and embedding programs are served from: the home, and what its threads share, each made when first used."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.delivery.subscribers import Audience, Subscriber
from spindle.actors.kernel.actor import Exited
from spindle.rpc.protocol.user_agent import PROTOCOL_VERSION
from spindle.storage.home import Home

if TYPE_CHECKING:
    from spindle.actors.registry.compression import Compression
    from spindle.actors.registry.registry import Registry
    from spindle.actors.services.indexing import Indexing
    from spindle.actors.services.services import Services
    from spindle.actors.tasks.slots import Slots
    from spindle.actors.tools.commands.process import Warden
    from spindle.rpc.protocol.threads import ThreadStatus
    from spindle.storage.config import Config, ConfigLoader
    from spindle.storage.credentials import CredentialStore
    from spindle.storage.state import StateStore

log = logging.getLogger("spindle")

WORKING = 8
"""Work for clients that runs at a time. Clients take turns."""
PATIENCE = 0.25
"""Seconds after which such work is taken to wait for something else, and does not count any more."""


class Backend:
    """The home and its threads. A server that has just started answers `initialize` before it loads anything else here."""

    def __init__(
        self,
        home: Home,
        cwd: str,
        nursery: trio.Nursery,
        make_services: Callable[[], Services],
        make_indexing: Callable[[], Indexing],
        config: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.home = home
        self.cwd = cwd
        self.version = PROTOCOL_VERSION
        self.audience = Audience()
        self.in_use = trio.Event()
        """Set when the registry is made."""
        self.coding = trio.CapacityLimiter(4)
        """Of the threads that encode and decode clients' large messages, which wait for nothing but the processor."""
        self.started_at = time.time()
        self.greeted = trio.Event()
        """Set when a first client has been greeted, and what it needs next is imported."""
        self.ending = False
        """Whether clients' requests for work (`methods.WORK`) are refused, since the process is about to end."""
        self._nursery = nursery
        self._make_services = make_services
        self._make_indexing = make_indexing
        self._overrides = config
        self._compression: Compression | None = None

    @cached_property
    def services(self) -> Services:
        """What threads share."""
        return self._make_services()

    @property
    def warden(self) -> Warden | None:
        """What starts commands; None as long as none can have been started."""
        return self.services.warden if "services" in self.__dict__ else None

    @cached_property
    def working(self) -> Slots:
        """For the work that clients ask for. It mostly needs the processor: the more at a time, the longer turns wait."""
        from spindle.actors.tasks.slots import Slots

        return Slots(WORKING, PATIENCE)

    @cached_property
    def indexing(self) -> Indexing:
        """The index of the home's threads."""
        return self._make_indexing()

    @cached_property
    def state(self) -> StateStore:
        """What is stored about the home's threads outside their rollouts."""
        from spindle.storage.state import StateStore

        return StateStore(self.home)

    @cached_property
    def config_loader(self) -> ConfigLoader:
        """Loads the home's configuration."""
        from spindle.storage.config import ConfigLoader

        return ConfigLoader(self.home, self._overrides)

    @cached_property
    def registry(self) -> Registry:
        """The registry of this runtime's threads."""
        from spindle.actors.registry.registry import Registry

        registry = Registry(self.services)
        self._nursery.start_soon(registry.run, _registry_ended, name="the registry")
        self.in_use.set()
        return registry

    @cached_property
    def credentials(self) -> CredentialStore:
        """The home's credentials."""
        from spindle.storage.credentials import CredentialStore

        return CredentialStore(self.home)

    def compress_rollouts(self) -> None:
        """Compress old rollouts in the background, unless that is under way."""
        if self._compression is None:
            from spindle.actors.registry.compression import Compression

            self._compression = Compression(self.services, self.registry)
        self._compression.begin()

    def leave(self, subscriber: Subscriber) -> None:
        """A client has disconnected: end its subscriptions and send it no more broadcasts."""
        self.audience.leave(subscriber)
        if subscriber.threads:
            self.registry.leave_all(subscriber)

    async def close(self) -> None:
        """Interrupt and record running turns, end every thread, close the models. Safe to call when nothing was used."""
        if "registry" in self.__dict__:
            await self.registry.shut_down()
        if "services" in self.__dict__:
            await self.services.aclose()
        if "state" in self.__dict__:
            await self.state.aclose()

    async def room(self) -> None:
        """Wait until the registry's mailbox has room: back-pressure on the clients, which take turns."""
        if "registry" in self.__dict__:
            await self.registry.mailbox.room()

    async def settled(self) -> None:
        """Wait until the registry has handled all that has been sent to it so far."""
        if "registry" in self.__dict__:
            await self.registry.settled()

    def abandon(self) -> None:
        """End without waiting for threads that are still ending."""
        if "registry" in self.__dict__:
            self.registry.abandon()

    @property
    def busy(self) -> bool:
        """Whether a turn is running."""
        return "registry" in self.__dict__ and self.registry.busy

    def loaded(self) -> list[str]:
        """Ids of the loaded threads."""
        return self.registry.directory.loaded() if "registry" in self.__dict__ else []

    def status(self, thread_id: str) -> ThreadStatus | None:
        """The status of a thread, None as long as none has been loaded in this runtime."""
        return self.registry.directory.status(thread_id) if "registry" in self.__dict__ else None

    def config(self) -> Config:
        """The configuration outside of any project; the defaults where it is broken. Blocks on the disk."""
        from spindle.storage.config import ConfigError

        try:
            return self.config_loader.load(None)
        except (ConfigError, OSError):
            return self.config_loader.defaults()


def _registry_ended(exited: Exited) -> None:
    if exited.error is not None:
        log.error("the registry has ended", exc_info=exited.error)
