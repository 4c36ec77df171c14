"""The runtime: everything alive in one nursery, opened by embedders and by the daemon alike."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.delivery.subscribers import Audience, Subscriber
from spindle.actors.kernel.actor import Exited
from spindle.actors.tasks.blocks import open_block
from spindle.actors.tasks.boundary import start_apart
from spindle.storage.durable import make_folder
from spindle.storage.home import Home

if TYPE_CHECKING:
    from spindle.actors.clients.connection import Connection
    from spindle.actors.embedding import Approve, ThreadHandle
    from spindle.actors.registry.registry import Registry
    from spindle.actors.services.indexing import Indexing
    from spindle.actors.services.services import Services
    from spindle.actors.tools.commands.process import Warden
    from spindle.rpc.model.interface import Model, Provider
    from spindle.rpc.protocol.threads import ThreadStatus
    from spindle.storage.config import Config, ConfigLoader
    from spindle.storage.config.notes import Note
    from spindle.storage.credentials import CredentialStore
    from spindle.storage.state import StateStore

PROTOCOL_VERSION = "0.169.0"
"""The version of the Codex protocol that we tell clients and write into rollouts; SDKs refuse servers below 0.151.0."""


log = logging.getLogger("spindle")

CLOSING = 20.0
"""Seconds the orderly end of a cancelled runtime may take, threads (`registry.PATIENCE`) and all; what is left is cancelled."""
LOAD_AHEAD_PAUSE = 0.02
"""Seconds between two looks whether a client that has just come awaits nothing, and what it may ask next can be loaded."""


class Runtime:
    """What connections and embedders work with. Open one with `open_runtime`; any number may live in one process.

    The registry and what threads share are made when first used: a daemon answers `initialize` before it loads them.
    """

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
        """Set when the registry has been made."""
        self.coding = trio.CapacityLimiter(4)
        """Of the threads that encode and decode clients' large messages, which wait for nothing but the processor."""
        self.ending = False
        """Whether clients' requests for work (`methods.WORK`) are refused, since the process is about to end."""
        self._nursery = nursery
        self._make_services = make_services
        self._make_indexing = make_indexing
        self._overrides = config

    @cached_property
    def services(self) -> Services:
        """What threads share."""
        return self._make_services()

    @property
    def warden(self) -> Warden | None:
        """What starts commands; None as long as none can have been started."""
        return self.services.warden if "services" in self.__dict__ else None

    @cached_property
    def indexing(self) -> Indexing:
        """The index of the home's threads."""
        return self._make_indexing()

    @cached_property
    def state(self) -> StateStore:
        """What is kept about the home's threads beside their rollouts."""
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

    def leave(self, subscriber: Subscriber) -> None:
        """A client is gone: it hears of nothing any more, and its subscriptions end."""
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

    def abandon(self) -> None:
        """End without waiting for threads that are still ending."""
        if "registry" in self.__dict__:
            self.registry.abandon()

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

    def start_thread(
        self, *, tools: Sequence[Callable[..., Any]] = (), approve: Approve | None = None, **params: Any
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.start_thread`."""
        from spindle.actors.embedding import start_thread

        return start_thread(self, tools=tools, approve=approve, **params)

    def resume_thread(
        self, thread_id: str, *, tools: Sequence[Callable[..., Any]] = (), approve: Approve | None = None, **params: Any
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.resume_thread`."""
        from spindle.actors.embedding import resume_thread

        return resume_thread(self, thread_id, tools=tools, approve=approve, **params)

    def fork_thread(
        self, thread_id: str, *, tools: Sequence[Callable[..., Any]] = (), approve: Approve | None = None, **params: Any
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.fork_thread`."""
        from spindle.actors.embedding import fork_thread

        return fork_thread(self, thread_id, tools=tools, approve=approve, **params)

    async def archive_thread(self, thread_id: str) -> None:
        """See `embedding.archive_thread`."""
        from spindle.actors.embedding import archive_thread

        await archive_thread(self, thread_id)

    def greet(self, connection: Connection) -> None:
        """A client has initialized: load what it will need next, and tell it what is wrong with the configuration."""
        connection.later_quietly(lambda: self._greet(connection))

    async def _greet(self, connection: Connection) -> None:
        from spindle.storage.config import ConfigError

        loader = self.config_loader

        def look() -> Sequence[Note]:
            from spindle.storage.config.hooks import hook_config

            config = loader.load(Path(self.cwd))
            config.check()
            config.check_provider(config.model_provider)
            return [*config.notes, *hook_config(config).notes]

        try:
            notes = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
        except (ConfigError, OSError) as error:
            from spindle.rpc.protocol.config import ConfigWarningNotification

            summary = "Invalid configuration; using defaults."
            connection.notify(ConfigWarningNotification(summary, str(error), str(self.home.config_file)))
        else:
            if notes:
                from spindle.actors.settings.warnings import warning_of

                for note in notes:
                    connection.notify(warning_of(note))
        # What the client asks at once goes first: imports hold up everything else.
        await trio.sleep(LOAD_AHEAD_PAUSE)
        while connection.awaited:  # noqa: ASYNC110 - no answer should have to tell anybody of itself
            await trio.sleep(LOAD_AHEAD_PAUSE)
        await trio.to_thread.run_sync(_load_ahead)
        _ = self.services  # made here, in trio's thread: handlers use it in worker threads
        await trio.to_thread.run_sync(self.indexing.prepare)


@asynccontextmanager
async def open_runtime(
    *,
    home: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    cwd: str | os.PathLike[str] | None = None,
    config: Sequence[tuple[str, Any]] = (),
    source: str = "vscode",
    function_threads: int | None = None,
) -> AsyncGenerator[Runtime]:
    """Open a runtime for the length of the block.

    home: the Codex home, else `$CODEX_HOME`, else `~/.codex`; created if missing when given here.
    model: answers every thread, whatever its provider; by default each provider of config.toml is asked itself.
    cwd: what relative directories are taken from, else the process's.
    config: overrides of config.toml, (dotted key, value).
    function_threads: how many synchronous functions of the application run at once, each in a worker thread; 40 by default.
    Relative paths, `offline_script` among them, are taken once: a later `os.chdir` changes nothing.
    Leaving the block, or cancelling it, interrupts running turns, records them, and ends everything that was started. In a
    cancelled block that takes `CLOSING` seconds at most, and then only what is being written, or killed, is waited for.
    An exception leaves the block as it was raised, several come as a group. Raises HomeError.
    """
    resolved, here = _located(home, cwd)
    await trio.to_thread.run_sync(lambda: make_folder(resolved.path))
    async with open_block() as flushing, open_block() as threads:

        def make_services() -> Services:
            from spindle.actors.services.models import Models
            from spindle.actors.services.services import Services
            from spindle.actors.tasks.workers import FUNCTIONS, Workers
            from spindle.actors.turn.loop import default_instructions
            from spindle.storage.rollout.flusher import Flusher

            services = Services(
                home=resolved,
                config=runtime.config_loader,
                models=Models(_fixed(model) if model is not None else _maker(runtime.credentials, here)),
                flusher=Flusher(),
                indexing=runtime.indexing,
                state=runtime.state,
                audience=runtime.audience,
                background=flushing,
                cwd=runtime.cwd,
                version=runtime.version,
                source=source,
                instructions=default_instructions(),
                workers=Workers(trio.CapacityLimiter(FUNCTIONS if function_threads is None else function_threads)),
            )
            start_apart(flushing, "the grouping of disk syncs", services.flusher.run)
            return services

        def make_indexing() -> Indexing:
            from spindle.actors.services.indexing import Indexing

            indexing = Indexing(resolved, kept=True)
            start_apart(flushing, "the index of threads", indexing.run)
            return indexing

        runtime = Runtime(resolved, here, threads, make_services, make_indexing, list(config))
        try:
            yield runtime
        finally:
            await _close(runtime)
            flushing.cancel_scope.cancel()


def _registry_ended(exited: Exited) -> None:
    if exited.error is not None:
        log.error("the registry has ended", exc_info=exited.error)


def _located(home: str | os.PathLike[str] | None, cwd: str | os.PathLike[str] | None) -> tuple[Home, str]:
    """The home and the directory, absolute. Raises HomeError."""
    path = Home.resolve(os.environ).path if home is None else Path(home)
    return Home(path.absolute()), str(Path(cwd or ".").absolute())


async def _close(runtime: Runtime) -> None:
    """Close it; once that is cancelled, for a limited time."""
    try:
        await runtime.close()
    except trio.Cancelled:
        pass  # what has cancelled it goes on to do so, behind the block
    else:
        return
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING) as closing:  # the bound of the shield
        await runtime.close()
    if closing.cancelled_caught:
        runtime.abandon()
        log.warning("the runtime has not ended within %g s, and is ended where it stands", CLOSING)


def _load_ahead() -> None:
    """Import, in a worker thread, what the first thread and the first turn would otherwise have to wait for."""
    for name in (
        # Lists are what most clients ask for first.
        "spindle.actors.clients.methods.listing",
        "spindle.storage.index",
        "spindle.actors.registry.registry",
        "spindle.actors.clients.methods.threads",
        "spindle.actors.clients.methods.turns",
        "spindle.rpc.model.responses",
    ):
        import_module(name)


def _fixed(model: Model) -> Callable[[Provider, Config], Model]:
    return lambda provider, config: model


def _maker(credentials: CredentialStore, cwd: str) -> Callable[[Provider, Config], Model]:
    def make(provider: Provider, config: Config) -> Model:
        if provider.is_offline:
            from spindle.rpc.model.offline import OfflineModel

            script = config.offline_script
            return OfflineModel.from_file(Path(cwd, script)) if script else OfflineModel()
        from spindle.rpc.model.responses import ResponsesModel

        return ResponsesModel(provider, credentials.api_key)

    return make
