"""The runtime: everything alive in one nursery, opened by embedders and by the daemon alike."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.registry import Registry
from spindle.actors.subscribers import Audience
from spindle.actors.thread.services import Models, Services
from spindle.actors.turn.loop import default_instructions
from spindle.rpc.model.interface import Model, Provider
from spindle.storage.config import Config, ConfigError, ConfigLoader
from spindle.storage.credentials import CredentialStore
from spindle.storage.home import Home
from spindle.storage.rollout.flusher import Flusher

if TYPE_CHECKING:
    from spindle.actors.connection import Connection
    from spindle.actors.embedding import ThreadHandle

PROTOCOL_VERSION = "0.169.0"
"""The version of the Codex protocol that we tell clients and write into rollouts; SDKs refuse servers below 0.151.0."""


class Runtime:
    """What connections and embedders work with. Open one with `open_runtime`; any number may live in one process."""

    def __init__(self, services: Services, registry: Registry) -> None:
        self.services = services
        self.registry = registry
        self.audience = services.audience
        self.credentials = CredentialStore(services.home)

    def config(self) -> Config:
        """The configuration outside of any project; the defaults where it is broken. Blocks on the disk."""
        try:
            return self.services.config.load(None)
        except (ConfigError, OSError):
            return self.services.config.defaults()

    def start_thread(self, **params: Any) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.start_thread`."""
        from spindle.actors.embedding import start_thread

        return start_thread(self, **params)

    def resume_thread(self, thread_id: str, **params: Any) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.resume_thread`."""
        from spindle.actors.embedding import resume_thread

        return resume_thread(self, thread_id, **params)

    async def archive_thread(self, thread_id: str) -> None:
        """See `embedding.archive_thread`."""
        from spindle.actors.embedding import archive_thread

        await archive_thread(self, thread_id)

    def greet(self, connection: Connection) -> None:
        """Tell a client that has just initialized what is wrong with the configuration."""
        connection.later_quietly(lambda: self._greet(connection))

    async def _greet(self, connection: Connection) -> None:
        try:
            await trio.to_thread.run_sync(self.services.config.load, Path(self.services.cwd))
        except (ConfigError, OSError) as error:
            from spindle.rpc.protocol.config import ConfigWarningNotification

            summary = "Invalid configuration; using defaults."
            connection.notify(ConfigWarningNotification(summary, str(error), str(self.services.home.config_file)))


@asynccontextmanager
async def open_runtime(
    *,
    home: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    cwd: str | os.PathLike[str] | None = None,
    config: Sequence[tuple[str, Any]] = (),
    source: str = "vscode",
) -> AsyncIterator[Runtime]:
    """Open a runtime for the length of the block.

    home: the Codex home, else `$CODEX_HOME`, else `~/.codex`; created if missing when given here.
    model: answers every thread, whatever its provider; by default each provider of config.toml is asked itself.
    cwd: what relative directories are taken from, else the process's.
    config: overrides of config.toml, (dotted key, value).
    Leaving the block, or cancelling it, interrupts running turns, records them, and ends everything that was started.
    Raises HomeError.
    """
    if home is None:
        resolved = Home.resolve(os.environ)
    else:
        resolved = Home(Path(home))
    await trio.to_thread.run_sync(lambda: resolved.path.mkdir(parents=True, exist_ok=True))
    credentials = CredentialStore(resolved)
    services = Services(
        home=resolved,
        config=ConfigLoader(resolved, list(config)),
        models=Models(_fixed(model) if model is not None else _maker(credentials)),
        flusher=Flusher(),
        audience=Audience(),
        cwd=os.path.abspath(cwd or os.getcwd()),
        version=PROTOCOL_VERSION,
        source=source,
        instructions=default_instructions(),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_close_models, services.models)
        flushing = await stack.enter_async_context(trio.open_nursery())
        stack.callback(flushing.cancel_scope.cancel)
        await flushing.start(services.flusher.run)
        threads = await stack.enter_async_context(trio.open_nursery())
        registry = Registry(services, threads)
        try:
            yield Runtime(services, registry)
        finally:
            with trio.CancelScope(shield=True):
                await registry.shut_down()


async def _close_models(models: Models) -> None:
    with trio.CancelScope(shield=True):
        await models.aclose()


def _fixed(model: Model) -> Callable[[Provider, Config], Model]:
    return lambda provider, config: model


def _maker(credentials: CredentialStore) -> Callable[[Provider, Config], Model]:
    def make(provider: Provider, config: Config) -> Model:
        if provider.base_url is None and provider.name == "Offline":
            from spindle.rpc.model.offline import OfflineModel

            return OfflineModel.from_file(Path(config.offline_script)) if config.offline_script else OfflineModel()
        from spindle.rpc.model.responses import ResponsesModel

        return ResponsesModel(provider, credentials.api_key)

    return make
