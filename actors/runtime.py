"""The runtime: everything alive in one nursery, opened by embedders and by the daemon alike."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import trio

from spindle.actors.registry.ahead import MODEL, THREAD, WATCHED, import_ahead
from spindle.actors.registry.backend import Backend
from spindle.actors.tasks.blocks import open_block
from spindle.actors.tasks.boundary import start_apart
from spindle.storage.durable import make_folder
from spindle.storage.home import Home

if TYPE_CHECKING:
    from spindle.actors.embedding import Approve, ThreadHandle
    from spindle.actors.embedding.options import ForkOptions, ResumeOptions, StartOptions
    from spindle.actors.services.indexing import Indexing
    from spindle.actors.services.instruments import Instrument
    from spindle.actors.services.services import Services
    from spindle.rpc.model.interface import Model, Provider
    from spindle.storage.config import Config
    from spindle.storage.credentials import CredentialStore

log = logging.getLogger("spindle")

CLOSING = 20.0
"""Seconds the orderly end of a cancelled runtime may take, threads (`registry.PATIENCE`) and all; what is left is cancelled."""


class Runtime(Backend):
    """A home and its threads, for the length of an `open_runtime` block. Any number may live in one process."""

    def start_thread(
        self,
        *,
        tools: Sequence[Callable[..., Any]] = (),
        approve: Approve | None = None,
        **options: Unpack[StartOptions],
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.start_thread`."""
        from spindle.actors.embedding import start_thread

        return start_thread(self, tools=tools, approve=approve, **options)

    def resume_thread(
        self,
        thread_id: str,
        *,
        tools: Sequence[Callable[..., Any]] = (),
        approve: Approve | None = None,
        **options: Unpack[ResumeOptions],
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.resume_thread`."""
        from spindle.actors.embedding import resume_thread

        return resume_thread(self, thread_id, tools=tools, approve=approve, **options)

    def fork_thread(
        self,
        thread_id: str,
        *,
        tools: Sequence[Callable[..., Any]] = (),
        approve: Approve | None = None,
        **options: Unpack[ForkOptions],
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """See `embedding.fork_thread`."""
        from spindle.actors.embedding import fork_thread

        return fork_thread(self, thread_id, tools=tools, approve=approve, **options)

    async def archive_thread(self, thread_id: str) -> None:
        """See `embedding.archive_thread`."""
        from spindle.actors.embedding import archive_thread

        await archive_thread(self, thread_id)


@asynccontextmanager
async def open_runtime(
    *,
    home: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    cwd: str | os.PathLike[str] | None = None,
    config: Sequence[tuple[str, Any]] = (),
    source: str = "vscode",
    function_threads: int | None = None,
    import_first: bool = True,
    instruments: Sequence[Instrument] = (),
) -> AsyncGenerator[Runtime]:
    """Open a runtime for the length of the block.

    home: the Codex home, else `$CODEX_HOME`, else `~/.codex`; created if missing when given here.
    model: answers all threads of all providers; by default each provider of config.toml is asked.
    cwd: what relative directories are taken from, else the process's.
    config: overrides of config.toml, (dotted key, value).
    function_threads: how many synchronous functions of the application run at once, each in a worker thread; 40 by default.
    import_first: import what threads need, off the event loop, before the block is entered; else the first thread and the
    first turn do it, and hold up the loop.
    instruments: are called while threads work; see `Instrument`.
    Relative paths, `offline_script` among them, are taken once: a later `os.chdir` changes nothing.
    Leaving the block, or cancelling it, interrupts running turns, records them, and ends everything that was started. In a
    cancelled block that takes `CLOSING` seconds at most, and then only what is being written, or killed, is waited for.
    An exception leaves the block as it was raised, several come as a group. Raises HomeError.
    """
    resolved, here = _located(home, cwd)
    await trio.to_thread.run_sync(lambda: make_folder(resolved.path))
    async with open_block() as flushing, open_block() as threads:

        def make_services() -> Services:
            from spindle.actors.services.instruments import Instruments
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
                instruments=Instruments(instruments),
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
            if import_first:
                needed = THREAD if model is not None else (*THREAD, *MODEL)
                watched = WATCHED if instruments else ()
                await import_ahead((*needed, *watched, "spindle.actors.embedding"))
            yield runtime
        finally:
            await _close(runtime)
            flushing.cancel_scope.cancel()


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
        log.warning("the runtime has not ended within %g s, and is cancelled", CLOSING)


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
