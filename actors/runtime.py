"""The runtime of programs and of the daemon: a backend, with everything alive in the nurseries of one block."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.registry.ahead import import_ahead
from spindle.actors.registry.backend import Backend
from spindle.actors.tasks.blocks import open_block
from spindle.actors.tasks.boundary import Contained, start_apart
from spindle.storage.durable import make_folder
from spindle.storage.home import Home
from spindle.storage.home_path import HomeError

if TYPE_CHECKING:
    from spindle.actors.services.indexing import Indexing
    from spindle.actors.services.instruments import Instrument
    from spindle.actors.services.services import Services
    from spindle.actors.services.telemetry import MakeExporting
    from spindle.rpc.model.interface import Model, Provider
    from spindle.storage.config import Config

log = logging.getLogger("spindle")
log.addHandler(logging.NullHandler())  # what is logged is for the program to configure

INSTRUMENTED = ("thread", "turn", "model", "tool", "question")
"""The parts of the log that `LogInstrument` writes."""

CLOSING = 20.0
"""Seconds the orderly end of a cancelled runtime may take, threads (`registry.PATIENCE`) and all; what is left is cancelled."""


@asynccontextmanager
async def open_backend(
    *,
    home: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    cwd: str | os.PathLike[str] | None = None,
    config: Sequence[tuple[str, Any]] = (),
    source: str = "vscode",
    function_threads: int | None = None,
    instruments: Sequence[Instrument] = (),
    inspect: bool = False,
    exporting: MakeExporting | None = None,
) -> AsyncGenerator[Backend]:
    """Open a home and its threads for the length of the block. `embedding.runtime.open_runtime` has the parameters.

    exporting: serves `[otel]` of the user's files, of which nothing is made without it.
    Nothing is imported ahead. An exception leaves the block as it was raised, several come as a group. Raises HomeError.
    """
    resolved, here = _located(home, cwd)
    try:
        await trio.to_thread.run_sync(lambda: make_folder(resolved.path))
    except OSError as error:
        raise HomeError(f"the home {resolved.path} cannot be used: {error.strerror}") from error
    async with open_block() as flushing, open_block() as threads:

        def make_services() -> Services:
            from spindle.actors.services.instruments import Instruments
            from spindle.actors.services.models import Models, clients
            from spindle.actors.services.services import Services
            from spindle.actors.tasks.workers import FUNCTIONS, Workers
            from spindle.actors.tools.commands.process import Warden
            from spindle.actors.turn.loop import default_instructions
            from spindle.storage.rollout.flusher import Flusher

            warden = Warden()
            services = Services(
                home=resolved,
                config=backend.config_loader,
                models=Models(_fixed(model) if model is not None else clients(backend.credentials, warden, here)),
                flusher=Flusher(),
                indexing=backend.indexing,
                state=backend.state,
                audience=backend.audience,
                instruments=Instruments((*_log_instrument(), *instruments)),
                exporting=exporting,
                background=flushing,
                cwd=backend.cwd,
                version=backend.version,
                source=source,
                warden=warden,
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

        backend = Backend(resolved, here, threads, make_services, make_indexing, list(config))
        try:
            if inspect:
                await import_ahead(("spindle.actors.daemon",))
                from spindle.actors.daemon import be_inspected

                backend.greeted.set()
                await Contained(flushing).start(be_inspected, backend, "embedded")
            yield backend
        finally:
            await _close(backend)
            flushing.cancel_scope.cancel()


def _log_instrument() -> Sequence[Instrument]:
    """The instrument of the log, where that is on."""
    if not any(logging.getLogger(f"spindle.{part}").isEnabledFor(logging.INFO) for part in INSTRUMENTED):
        return ()
    from spindle.actors.services.log_instrument import LogInstrument

    return (LogInstrument(),)


def _located(home: str | os.PathLike[str] | None, cwd: str | os.PathLike[str] | None) -> tuple[Home, str]:
    """The home and the directory, absolute. Raises HomeError."""
    path = Home.resolve(os.environ).path if home is None else Path(home)
    return Home(path.absolute()), str(Path(cwd or ".").absolute())


async def _close(backend: Backend) -> None:
    """Close it; once that is cancelled, for a limited time."""
    try:
        await backend.close()
    except trio.Cancelled:
        pass  # what has cancelled it goes on to do so, behind the block
    else:
        return
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING) as closing:  # the bound of the shield
        await backend.close()
    if closing.cancelled_caught:
        backend.abandon()
        log.warning("the runtime has not ended within %g s, and is cancelled", CLOSING)


def _fixed(model: Model) -> Callable[[Provider, Config], Model]:
    return lambda provider, config: model
